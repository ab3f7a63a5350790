"""Who may see what. One place, to grow.

Webhooks are guarded by their signatures and health by nothing. Everything else answers to this machine alone, in
development; a request that came through a proxy or under a foreign host name did not come from this machine, whatever
its address says (that also stops DNS rebinding).
"""

import ipaddress

from fastapi import Request

from contexten_core.errors import ContextenError
from contexten_core.settings import Environment, Settings

_FORWARDING_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})


class AccessDeniedError(ContextenError):
    code = "access_denied"
    status = 401


async def require_access(request: Request) -> None:
    """Let a request through or refuse it.

    Raises:
        AccessDeniedError: it does not come from this machine, or the environment is not `development`.
    """
    settings: Settings = request.app.state.settings
    if settings.environment is not Environment.DEVELOPMENT:
        raise AccessDeniedError(
            f"API and pages are closed in {settings.environment.value}",
            hint="use the command line on this machine, or ENVIRONMENT=development",
        )
    if not _is_local(request):
        raise AccessDeniedError(
            "API and pages answer to this machine only", hint="open http://localhost on the machine that serves"
        )


def _is_local(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in _FORWARDING_HEADERS):
        return False
    if (request.url.hostname or "").lower() not in _LOCAL_NAMES:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
