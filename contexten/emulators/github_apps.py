"""GitHub Apps: who is asking, and the tokens of their installations."""

import hmac
import secrets
from datetime import timedelta

import jwt
from fastapi import APIRouter, Request

from contexten.emulators.github_hook_routes import HooksOf, hooks_of
from contexten.emulators.github_hooks import GitHubApp
from contexten.emulators.github_problems import GitHubProblem
from contexten.emulators.github_requests import api_url
from contexten.emulators.shapes import HTML_URL, Json, timestamp, user

LONGEST_JWT_SECONDS = 600
CLOCK_DRIFT_SECONDS = 60
TOKEN_LIFE = timedelta(hours=1)
MAX_TOKENS = 1000
SINCE = "2025-01-06T09:00:00Z"
PERMISSIONS = {
    "checks": "write",
    "contents": "write",
    "issues": "write",
    "metadata": "read",
    "pull_requests": "write",
    "statuses": "write",
}

router = APIRouter()
app_router = APIRouter()


class AppTokens:
    """The installation tokens that were given out, the newest thousand."""

    def __init__(self) -> None:
        self._tokens: dict[str, float] = {}

    def issue(self, *, expires_at: float) -> str:
        while len(self._tokens) >= MAX_TOKENS:
            self._tokens.pop(next(iter(self._tokens)))
        token = f"ghs_{secrets.token_hex(18)}"
        self._tokens[token] = expires_at
        return token

    def accepts(self, token: str, *, now: float) -> bool:
        return self._tokens.get(token, 0.0) > now


def authorise_request(request: Request) -> None:
    """Take the emulator's token, or an installation's; anything when no token is required.

    Raises:
        GitHubProblem: 401.
    """
    required: str | None = request.app.state.required_token
    if required is None:
        return
    scheme, token = _credentials(request)
    if scheme in {"bearer", "token"}:
        if hmac.compare_digest(token.encode(), required.encode()):
            return
        tokens: AppTokens = request.app.state.tokens
        if tokens.accepts(token, now=hooks_of(request).clock.now().timestamp()):
            return
    raise GitHubProblem(401, "Bad credentials")


def authorise_app(request: Request) -> None:
    """Take a JWT of the App; its signature is checked when the App's public key is known.

    Raises:
        GitHubProblem: 401.
    """
    hooks = hooks_of(request)
    scheme, token = _credentials(request)
    claims = _claims(token, hooks.app) if scheme == "bearer" else {}
    issued, expires, now = claims.get("iat"), claims.get("exp"), hooks.clock.now().timestamp()
    if str(claims.get("iss")) != str(hooks.app.id):
        raise GitHubProblem(401, "A JSON web token could not be decoded")
    if not isinstance(expires, int | float) or expires <= now:
        raise GitHubProblem(401, "'Expiration time' claim ('exp') must be a numeric value in the future")
    if not isinstance(issued, int | float) or issued > now + CLOCK_DRIFT_SECONDS:
        raise GitHubProblem(401, "'Issued at' claim ('iat') must be an Integer representing the time of issue")
    if expires > now + LONGEST_JWT_SECONDS + CLOCK_DRIFT_SECONDS:
        raise GitHubProblem(401, "'Expiration time' claim ('exp') is too far in the future")


@app_router.get("")
async def show_app(hooks: HooksOf) -> Json:
    """Show the App."""
    return {
        "id": hooks.app.id,
        "slug": hooks.app.slug,
        "name": hooks.app.slug,
        "owner": user("acme"),
        "html_url": f"https://github.com/apps/{hooks.app.slug}",
        "permissions": PERMISSIONS,
        "events": ["*"],
        "installations_count": len(hooks.app.installations),
    }


@app_router.get("/installations")
async def list_installations(request: Request, hooks: HooksOf) -> list[Json]:
    """List where the App is installed."""
    return [_installation(account, hooks.app, api=api_url(request)) for account in hooks.app.installations]


@app_router.post("/installations/{installation_id}/access_tokens", status_code=201)
async def create_token(installation_id: str, request: Request, hooks: HooksOf) -> Json:
    """Give out a token that is good for an hour."""
    if installation_id not in {str(number) for number in hooks.app.installations.values()}:
        raise GitHubProblem(404, "Not Found")
    expires_at = hooks.clock.now() + TOKEN_LIFE
    tokens: AppTokens = request.app.state.tokens
    return {
        "token": tokens.issue(expires_at=expires_at.timestamp()),
        "expires_at": timestamp(expires_at),
        "permissions": PERMISSIONS,
        "repository_selection": "all",
    }


@router.get("/installation")
async def find_installation(owner: str, repo: str, request: Request, hooks: HooksOf) -> Json:  # noqa: ARG001 - in the path
    """Show the installation that reaches a repository."""
    for account in hooks.app.installations:
        if account.lower() == owner.lower():
            return _installation(account, hooks.app, api=api_url(request))
    raise GitHubProblem(404, "Not Found")


def _credentials(request: Request) -> tuple[str, str]:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not token:
        raise GitHubProblem(401, "Requires authentication")
    return scheme.lower(), token


def _claims(token: str, app: GitHubApp) -> Json:
    try:
        if app.public_key is None:
            claims: Json = jwt.decode(token, options={"verify_signature": False})
        else:
            # The times are checked by the emulator's clock.
            unchecked: jwt.types.Options = {"verify_exp": False, "verify_iat": False}
            claims = jwt.decode(token, app.public_key, algorithms=["RS256"], options=unchecked)
    except jwt.InvalidTokenError as error:
        raise GitHubProblem(401, "A JSON web token could not be decoded") from error
    return claims


def _installation(account: str, app: GitHubApp, *, api: str) -> Json:
    number, account_shape = app.installations[account], user(account, api=api)
    return {
        "id": number,
        "account": account_shape,
        "app_id": app.id,
        "app_slug": app.slug,
        "target_id": account_shape["id"],
        "target_type": "Organization",
        "repository_selection": "all",
        "access_tokens_url": f"{api}/app/installations/{number}/access_tokens",
        "repositories_url": f"{api}/installation/repositories",
        "permissions": PERMISSIONS,
        "events": ["*"],
        "html_url": f"{HTML_URL}/organizations/{account}/settings/installations/{number}",
        "created_at": SINCE,
        "updated_at": SINCE,
        "single_file_name": None,
        "suspended_at": None,
        "suspended_by": None,
    }
