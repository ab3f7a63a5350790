"""Access tokens: who may use API and pages."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, created, found, listed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import AccessToken, NewAccessToken, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.security import store, tokens

router = api_router("/api/tokens", "tokens")


@router.get("", response_model=list_of(AccessToken))
async def list_tokens(session: Reading, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List the newest tokens, the revoked ones too, without what proves them."""
    return listed(await store.page_tokens(session, limit=limit, cursor=cursor))


@router.post("", response_model=NewAccessToken, status_code=201)
async def create_token(orchestrator: OrchestratorOf, response: Response, data: tokens.TokenCreate) -> Any:
    """Make a token. `token` is its text, which is not shown again."""
    async with orchestrator.database.transaction() as session:
        text = await tokens.create_token(session, data.name, data.role.value, expires_at=data.expires_at)
        token = found(await store.by_name(session, data.name), "token", data.name)
    return created(response, token, "/api/tokens") | {"token": text}


@router.get("/{token_id}", response_model=AccessToken)
async def get_token(session: Reading, token_id: UUID) -> Any:
    """Show one token, without what proves it."""
    return found(await store.get(session, token_id), "token", token_id).to_dict()


@router.delete("/{token_id}", status_code=204)
async def revoke_token(orchestrator: OrchestratorOf, token_id: UUID) -> None:
    """Make a token useless from the next request on. It stays in the list, as revoked."""
    async with orchestrator.database.transaction() as session:
        token = found(await store.get(session, token_id), "token", token_id)
        await tokens.revoke_token(session, token.name)
