"""Prompts: what is to be done, by what, and when it applies."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, Text, created, found, listed, removed
from contexten.server.api.prompt_versions import Message
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import Prompt, list_of
from contexten.server.auth import CallerOf
from contexten.server.dependencies import OrchestratorOf, Reading, SettingsOf
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
async def create_prompt(
    orchestrator: OrchestratorOf, caller: CallerOf, response: Response, data: PromptCreate, message: Message = None
) -> Any:
    """Create a prompt. It applies to nothing until it has conditions."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_prompt(session, data, author=caller.name, message=message)
    return created(response, row, "/api/prompts")


@router.get("/{prompt_id}", response_model=Prompt)
async def get_prompt(session: Reading, prompt_id: UUID) -> Any:
    """Show one prompt."""
    return found(await store.get_prompt(session, prompt_id), "prompt", prompt_id).to_dict()


@router.patch("/{prompt_id}", response_model=Prompt)
async def update_prompt(
    orchestrator: OrchestratorOf,
    settings: SettingsOf,
    caller: CallerOf,
    prompt_id: UUID,
    data: PromptUpdate,
    message: Message = None,
) -> Any:
    """Change the given fields of one prompt, which makes it the next version."""
    protected = () if caller.is_admin else settings.protected_prompt_labels
    async with orchestrator.database.transaction() as session:
        row = await change.update_prompt(
            session, prompt_id, data, author=caller.name, message=message, protected=protected
        )
    return found(row, "prompt", prompt_id).to_dict()


@router.delete("/{prompt_id}", status_code=204)
async def delete_prompt(
    orchestrator: OrchestratorOf, settings: SettingsOf, caller: CallerOf, prompt_id: UUID, message: Message = None
) -> None:
    """Delete a prompt with its versions, templates and conditions; runs that it decided stay, and its history."""
    protected = () if caller.is_admin else settings.protected_prompt_labels
    async with orchestrator.database.transaction() as session:
        is_gone = await change.delete_prompt(
            session, prompt_id, author=caller.name, message=message, protected=protected
        )
        removed(is_gone, "prompt", prompt_id)
