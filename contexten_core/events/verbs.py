"""Do what people ask for in comments and messages, if they may, and answer them.

Everything that is asked for is done in one transaction with the end of its run, and so once.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events import outbox_store, verbs_store
from contexten_core.events import store as event_store
from contexten_core.events.ignored import Ignored
from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent, first_text, items_at, text_at
from contexten_core.events.normalise_slack import BLOCK_ACTIONS, slack_event
from contexten_core.events.steps import StepRecord
from contexten_core.events.verbs_answer import effects_of
from contexten_core.events.verbs_do import Asked, Said, carry_out
from contexten_core.events.verbs_parse import Verb, pressed, verb_of
from contexten_core.projects import store as project_store
from contexten_core.projects.models import ProjectModel, ProjectStatus, RepositoryProvider
from contexten_core.security.permissions import can_ask, client_of, permission_of
from contexten_core.settings import PUBLIC_GITHUB_API

_LABEL_OFF = "autofix off"
_ACTORS = {
    EventProvider.SLACK: ("user", "user.id", "user_id"),
    EventProvider.LINEAR: ("actor.id", "data.userId", "data.user.id"),
}


async def handle(record: StepRecord, event: NormalisedEvent) -> Ignored | None:
    """Do what an event asks for and end its step; None when it asks for nothing, or nobody can tell of which project.

    Raises:
        OutboundError: whether they may could not be asked for the moment.
        UnavailableError: what they approve is just being held; trying again shortly helps.
    """
    verb = verb_of(event)
    if verb is None or event.own or event.from_bot:
        return None
    asked = await _read(record, event, verb)
    if asked is None:
        return None
    why_not = await _why_not(record, asked)
    async with record.runtime.database.transaction() as session:
        await record.prove(session)
        run = await record.model(session)
        run.project_id = asked.project.id
        said = Said(why_not, done=False) if why_not else await carry_out(session, record, asked)
        await _answer(session, record, asked, said)
        return await record.complete(session, Ignored(f"{asked.verb} by {asked.by}: {said.text}"))


async def autofix_allowed(session: AsyncSession, subject: str, payload: Mapping[str, Any] | None = None) -> bool:
    """Tell whether fixes may be proposed for a pull request.

    They may not after `/contexten autofix off` there, nor where it has the label `autofix off`.

    Args:
        subject: `owner/name#7`.
        payload: of the event that is handled, which may hold the labels.
    """
    for path in ("pull_request.labels", "issue.labels"):
        names = (text_at(label, "name") or "" for label in items_at(payload, path, most=100))
        if any(" ".join(name.lower().replace("-", " ").replace(":", " ").split()) == _LABEL_OFF for name in names):
            return False
    return await verbs_store.autofix(session, subject) != verbs_store.OFF


async def _read(record: StepRecord, event: NormalisedEvent, verb: Verb) -> Asked | None:
    settings = record.runtime.settings
    environment = settings.environment.value
    async with record.runtime.database.reading() as session:
        stored = await event_store.get(session, record.run.event_id)
        project = await _project(session, event, environment)
        if stored is None or project is None or project.status is not ProjectStatus.ACTIVE:
            return None
        config = await project_store.config(session, project.id, vault=record.runtime.vault, environment=environment)
    api_url = config.get(("github", "api_url")) or settings.github_api_url
    if event.type == BLOCK_ACTIONS:
        verb = pressed(verb, text_at(stored.payload, "actions.0.value"))
    return Asked(verb, event, stored.payload, project, config, api_url)


async def _project(session: AsyncSession, event: NormalisedEvent, environment: str) -> ProjectModel | None:
    if event.provider is EventProvider.GITHUB:
        found = await project_store.repository(
            session, provider=RepositoryProvider.GITHUB, full_name=event.repository or ""
        )
        return await project_store.get(session, found.project_id) if found else None
    config_type, key = ("linear", "team") if event.provider is EventProvider.LINEAR else ("slack", "channel")
    projects = await project_store.projects_with(
        session, config_type=config_type, key=key, value=event.place or "", environment=environment
    )
    return projects[0] if len(projects) == 1 else None


async def _why_not(record: StepRecord, asked: Asked) -> str | None:
    """Return why the one who asks may not; to be called outside of a transaction."""
    event = asked.event
    if event.provider is not EventProvider.GITHUB:
        actor = first_text(_spoken(asked), _ACTORS[event.provider])
        listed = asked.config.get((verbs_store.APPROVERS, event.provider.value))
        if actor is not None and isinstance(listed, list) and actor in listed:
            return None
        return f"not permitted; the project's setting {event.provider.value} of {verbs_store.APPROVERS} lists who may"
    settings, repository = record.runtime.settings, event.repository or ""
    if asked.api_url == PUBLIC_GITHUB_API and not can_ask(settings, asked.api_url):
        return "not permitted: without a GitHub token nobody's permission can be asked for"
    client = client_of(record.runtime)
    permission = await permission_of(client, asked.api_url, repository, event.actor, insist=True)
    if permission.may_write:
        return None
    return f"not permitted; it takes write permission in {repository}, and this is {permission}"


def _spoken(asked: Asked) -> Mapping[str, Any]:
    return slack_event(asked.payload) if asked.event.provider is EventProvider.SLACK else asked.payload


async def _answer(session: AsyncSession, record: StepRecord, asked: Asked, said: Said) -> None:
    for kind, content in effects_of(asked, said):
        key = f"{record.run.run_id}:{kind}:answer"
        await outbox_store.enqueue(
            session, kind=kind, effect_key=key, stream=key, position=0, content=content, run_id=record.run.run_id
        )
