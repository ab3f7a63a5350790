"""Which addresses our token is for."""

from urllib.parse import urlsplit

from contexten_core.settings import Settings

_TOKEN_HOST = "github.com"  # noqa: S105 - the host that the token is for


def token_for(settings: Settings, clone_url: str) -> str | None:
    """Return our token for an address of GitHub itself; it goes nowhere else."""
    token = settings.github_token
    return token.get_secret_value() if token and _host_of(clone_url) == _TOKEN_HOST else None


def _host_of(clone_url: str) -> str | None:
    try:
        return urlsplit(clone_url).hostname
    except ValueError:
        # No address at all; whoever opens it says so.
        return None
