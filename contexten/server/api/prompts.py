"""Prompts: what is to be done, by what, and when it applies."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, Text, created, found, listed, removed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import Prompt, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.prompts import change, store
from contexten_core.prompts.inputs import PromptCreate, PromptUpdate
from contexten_core.prompts.models import PromptStatus, PromptType

router = api_router("/api/prompts", "prompts")


@router.get("", response_model=list_of(Prompt))
async def list_prompts(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: PromptStatus | None = None,
    prompt_type: PromptType | None = None,
    category: Text = None,
) -> Any:
    """List the newest prompts."""
    return listed(
        await store.page_prompts(
            session, limit=limit, cursor=cursor, status=status, prompt_type=prompt_type, category=category
        )
    )


@router.post("", response_model=Prompt, status_code=201)
async def create_prompt(orchestrator: OrchestratorOf, response: Response, data: PromptCreate) -> Any:
    """Create a prompt. It applies to nothing until it has conditions."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_prompt(session, data)
    return created(response, row, "/api/prompts")


@router.get("/{prompt_id}", response_model=Prompt)
async def get_prompt(session: Reading, prompt_id: UUID) -> Any:
    """Show one prompt."""
    return found(await store.get_prompt(session, prompt_id), "prompt", prompt_id).to_dict()


@router.patch("/{prompt_id}", response_model=Prompt)
async def update_prompt(orchestrator: OrchestratorOf, prompt_id: UUID, data: PromptUpdate) -> Any:
    """Change the given fields of one prompt."""
    async with orchestrator.database.transaction() as session:
        row = found(await change.update_prompt(session, prompt_id, data), "prompt", prompt_id)
    return row.to_dict()


@router.delete("/{prompt_id}", status_code=204)
async def delete_prompt(orchestrator: OrchestratorOf, prompt_id: UUID) -> None:
    """Delete a prompt with its templates and conditions; runs that it decided stay."""
    async with orchestrator.database.transaction() as session:
        removed(await change.delete_prompt(session, prompt_id), "prompt", prompt_id)
