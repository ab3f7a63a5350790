"""Find the stack that runs on a home, for every command that is not itself part of one."""

from pydantic import SecretStr
from sqlalchemy import make_url

from contexten_core.errors import StackError
from contexten_core.settings import DatabaseKind, Settings
from deployments.embedded_postgres import DATABASE_SECRET
from deployments.home import Home
from deployments.stack import WEBHOOK_SECRET
from deployments.state import StackState


def running_state(settings: Settings) -> StackState | None:
    """Return what the stack on this home says of itself, or None when none runs or it has not come up yet."""
    state = Home(settings.home.absolute()).read_state()
    return state if state is not None and state.urls and state.supervisor.is_running() else None


def attached(settings: Settings) -> Settings:
    """Return settings that lead to the stack running on this home, or to the configured database without one.

    Raises:
        StackError: no stack runs, and no database of one's own is configured.
    """
    settings = settings.model_copy(deep=True)
    state = running_state(settings)
    if state is None:
        if settings.db.kind is DatabaseKind.EMBEDDED:
            raise StackError(
                f"no stack runs on {settings.home}",
                hint="start one with `contexten serve` (or `make run`), or set CONTEXTEN_HOME to where it runs",
            )
        return settings
    home = Home(settings.home.absolute())
    if settings.db.kind is DatabaseKind.EMBEDDED:
        assert state.database is not None
        address = make_url(state.database).set(password=home.secret(DATABASE_SECRET))
        settings.db.url = SecretStr(address.render_as_string(hide_password=False))
    settings.prefect_api_url = settings.prefect_api_url or state.urls["prefect_api"]
    settings.public_url = settings.public_url or state.urls["web"]
    if not settings.github_webhook_secrets:
        settings.github_webhook_secrets = (SecretStr(home.secret(WEBHOOK_SECRET)),)
    return settings
