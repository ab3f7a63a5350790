"""Which webhooks deliver to us, and what may ask GitHub about them."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import SplitResult, urlsplit

import httpx

from contexten_core.db import utc_now
from contexten_core.errors import ConfigurationError
from contexten_core.events.recovery_result import Skipped
from contexten_core.integrations.github_app import app_token
from contexten_core.integrations.github_deliveries import GitHubDeliveries, Hook
from contexten_core.projects import store as project_store
from contexten_core.projects.models import ProjectStatus, RepositoryProvider
from contexten_core.runtime import Runtime
from contexten_core.settings import PUBLIC_GITHUB_API, Settings

_PATH = re.compile(r"/github/events|/webhooks/github|/[^/]+/[^/]+/github/events")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PROJECTS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Source:
    """Something at GitHub that has webhooks: a repository, or our App.

    Attributes:
        account: the address with the authentication that it is asked with; a budget belongs to these.
        hooks: asks for those of its webhooks that deliver to us.
    """

    name: str
    account: str
    api: GitHubDeliveries
    hooks: Callable[[], Awaitable[list[Hook]]]


async def find_sources(runtime: Runtime, http: httpx.AsyncClient) -> tuple[list[Source], list[Skipped]]:
    """Return our App and the repositories of active projects, and what cannot be asked about, with the reason."""
    settings = runtime.settings
    repositories, skipped = await _repositories(runtime)
    apis = {api_url: _client(settings, http, api_url) for _, api_url in repositories}
    sources = []
    for repository, api_url in repositories:
        if api_url == PUBLIC_GITHUB_API and settings.github_token is None:
            skipped.append(Skipped(repository, "no GitHub token is configured; set GITHUB_ACCESS_TOKEN"))
            continue
        hooks = partial(_hooks_to_us, apis[api_url], repository, settings.public_url)
        sources.append(Source(repository, f"{api_url} token", apis[api_url], hooks))
    try:
        sources += _app(settings, http)
    except ConfigurationError as error:
        skipped.append(Skipped(f"app {settings.github_app_id}", error.message))
    return sources, skipped


def delivers_to_us(url: str, *, public_url: str | None) -> bool:
    """Tell whether a webhook's address is one of ours.

    Without a public address of ours, or with one that only this machine can reach, its path alone decides.
    """
    try:
        given, ours = urlsplit(url), urlsplit(public_url or "")
        if ours.hostname is None or ours.hostname in _LOOPBACK:
            return _PATH.fullmatch(given.path.rstrip("/")) is not None
        prefix = ours.path.rstrip("/")
        is_here = _place(given) == _place(ours) and given.path.startswith(prefix)
    except ValueError:
        return False
    return is_here and _PATH.fullmatch(given.path[len(prefix) :].rstrip("/")) is not None


def _place(url: SplitResult) -> tuple[str | None, int | None]:
    return url.hostname, url.port or _DEFAULT_PORTS.get(url.scheme)


def _app(settings: Settings, http: httpx.AsyncClient) -> list[Source]:
    if settings.github_app_id is None or app_token(settings, now=utc_now()) is None:
        return []
    api = GitHubDeliveries(
        http,
        api_url=settings.github_api_url,
        authorise=lambda: app_token(settings, now=utc_now()),
        timeout_seconds=settings.api_timeout_seconds,
    )
    hook = api.app_hook(settings.github_app_id)

    async def only() -> list[Hook]:
        return [hook]

    return [Source(f"app {settings.github_app_id}", f"{settings.github_api_url} app", api, only)]


def _client(settings: Settings, http: httpx.AsyncClient, api_url: str) -> GitHubDeliveries:
    token = settings.github_token if api_url == settings.github_api_url else None
    plain = None if token is None else token.get_secret_value()
    return GitHubDeliveries(
        http, api_url=api_url, authorise=lambda: plain, timeout_seconds=settings.api_timeout_seconds
    )


async def _hooks_to_us(api: GitHubDeliveries, repository: str, public_url: str | None) -> list[Hook]:
    hooks = await api.hooks(repository)
    return [hook for hook in hooks if hook.url is not None and delivers_to_us(hook.url, public_url=public_url)]


async def _repositories(runtime: Runtime) -> tuple[list[tuple[str, str]], list[Skipped]]:
    """Return the GitHub repositories of active projects, each with the address of its API."""
    settings = runtime.settings
    found: list[tuple[str, str]] = []
    skipped: list[Skipped] = []
    cursor: str | None = None
    async with runtime.database.reading() as session:
        while True:
            page = await project_store.page_projects(
                session, limit=_PROJECTS_AT_ONCE, cursor=cursor, status=ProjectStatus.ACTIVE
            )
            for project in page.rows:
                rows = await project_store.repositories_of(session, project.id)
                names = [row.full_name for row in rows if row.provider is RepositoryProvider.GITHUB]
                try:
                    config = await project_store.config(
                        session, project.id, vault=runtime.vault, environment=settings.environment.value
                    )
                except ConfigurationError as error:
                    skipped += [Skipped(name, error.message) for name in names]
                    continue
                api_url = config.get(("github", "api_url")) or settings.github_api_url
                found += [(name, str(api_url).rstrip("/")) for name in names]
            if (cursor := page.next_cursor) is None:
                return found, skipped
