"""The conditions under which a prompt applies."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, created, found, listed, removed
from contexten.server.api.prompt_versions import Message
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import PromptCondition, list_of
from contexten.server.auth import CallerOf
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.prompts import change, store
from contexten_core.prompts.inputs import PromptConditionCreate, PromptConditionUpdate

router = api_router("/api/prompt-conditions", "prompts")


@router.get("", response_model=list_of(PromptCondition))
async def list_prompt_conditions(
    session: Reading,
    prompt_id: UUID,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """List the newest conditions of a prompt."""
    return listed(await store.page_prompt_conditions(session, limit=limit, cursor=cursor, prompt_id=prompt_id))


@router.post("", response_model=PromptCondition, status_code=201)
async def create_prompt_condition(
    orchestrator: OrchestratorOf,
    caller: CallerOf,
    response: Response,
    data: PromptConditionCreate,
    message: Message = None,
) -> Any:
    """Give a prompt a condition, which makes it the next version."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_prompt_condition(session, data, author=caller.name, message=message)
    return created(response, row, "/api/prompt-conditions")


@router.get("/{prompt_condition_id}", response_model=PromptCondition)
async def get_prompt_condition(session: Reading, prompt_condition_id: UUID) -> Any:
    """Show one condition."""
    return found(
        await store.get_prompt_condition(session, prompt_condition_id), "condition", prompt_condition_id
    ).to_dict()


@router.patch("/{prompt_condition_id}", response_model=PromptCondition)
async def update_prompt_condition(
    orchestrator: OrchestratorOf,
    caller: CallerOf,
    prompt_condition_id: UUID,
    data: PromptConditionUpdate,
    message: Message = None,
) -> Any:
    """Change the given fields of one condition, which makes its prompt the next version."""
    async with orchestrator.database.transaction() as session:
        row = await change.update_prompt_condition(
            session, prompt_condition_id, data, author=caller.name, message=message
        )
    return found(row, "condition", prompt_condition_id).to_dict()


@router.delete("/{prompt_condition_id}", status_code=204)
async def delete_prompt_condition(
    orchestrator: OrchestratorOf, caller: CallerOf, prompt_condition_id: UUID, message: Message = None
) -> None:
    """Delete a condition, which makes its prompt the next version."""
    async with orchestrator.database.transaction() as session:
        is_gone = await change.delete_prompt_condition(
            session, prompt_condition_id, author=caller.name, message=message
        )
        removed(is_gone, "condition", prompt_condition_id)
