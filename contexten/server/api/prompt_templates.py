"""The texts that a prompt has for single languages and kinds of context."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, created, found, listed, removed
from contexten.server.api.prompt_versions import Message
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import PromptTemplate, list_of
from contexten.server.auth import CallerOf
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.prompts import change, store
from contexten_core.prompts.inputs import PromptTemplateCreate, PromptTemplateUpdate

router = api_router("/api/prompt-templates", "prompts")


@router.get("", response_model=list_of(PromptTemplate))
async def list_prompt_templates(
    session: Reading,
    prompt_id: UUID,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """List the newest templates of a prompt."""
    return listed(await store.page_prompt_templates(session, limit=limit, cursor=cursor, prompt_id=prompt_id))


@router.post("", response_model=PromptTemplate, status_code=201)
async def create_prompt_template(
    orchestrator: OrchestratorOf,
    caller: CallerOf,
    response: Response,
    data: PromptTemplateCreate,
    message: Message = None,
) -> Any:
    """Give a prompt a text for one language or kind of context, which makes it the next version."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_prompt_template(session, data, author=caller.name, message=message)
    return created(response, row, "/api/prompt-templates")


@router.get("/{prompt_template_id}", response_model=PromptTemplate)
async def get_prompt_template(session: Reading, prompt_template_id: UUID) -> Any:
    """Show one template."""
    return found(await store.get_prompt_template(session, prompt_template_id), "template", prompt_template_id).to_dict()


@router.patch("/{prompt_template_id}", response_model=PromptTemplate)
async def update_prompt_template(
    orchestrator: OrchestratorOf,
    caller: CallerOf,
    prompt_template_id: UUID,
    data: PromptTemplateUpdate,
    message: Message = None,
) -> Any:
    """Change the given fields of one template, which makes its prompt the next version."""
    async with orchestrator.database.transaction() as session:
        row = await change.update_prompt_template(
            session, prompt_template_id, data, author=caller.name, message=message
        )
    return found(row, "template", prompt_template_id).to_dict()


@router.delete("/{prompt_template_id}", status_code=204)
async def delete_prompt_template(
    orchestrator: OrchestratorOf, caller: CallerOf, prompt_template_id: UUID, message: Message = None
) -> None:
    """Delete a template, which makes its prompt the next version."""
    async with orchestrator.database.transaction() as session:
        is_gone = await change.delete_prompt_template(session, prompt_template_id, author=caller.name, message=message)
        removed(is_gone, "template", prompt_template_id)
