"""Prompts as files: one as YAML, and several stored at once."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel as Shape
from pydantic import Field

from contexten.server.api.answers import found
from contexten.server.api.routing import api_router
from contexten.server.auth import CallerOf
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.inputs import Input, Name
from contexten_core.prompts import store, versions
from contexten_core.prompts.changes import LONGEST_MESSAGE
from contexten_core.prompts.files import write_prompts
from contexten_core.prompts.files.push import Change, push, read_files
from contexten_core.prompts.files.yaml import LARGEST_FILE

router = api_router("/api", "prompts")


class PromptFileInput(Input):
    """A file of prompts as its text, in YAML.

    `version` of each prompt in it is the one that it was made from; nothing is stored when there is a newer one.
    """

    text: Annotated[str, Field(max_length=LARGEST_FILE)]
    name: Annotated[Name, Field(description="What messages call the file.")] = "prompts.yaml"
    message: Annotated[str, Field(min_length=1, max_length=LONGEST_MESSAGE)] = "Pushed from a file"
    overwrite: Annotated[bool, Field(description="Also over versions that it was not made from.")] = False


class PushedPrompt(Shape):
    """One prompt after a push, and its newest version."""

    slug: str
    version: int
    change: Change


class PushedPrompts(Shape):
    """Every prompt of a file after a push."""

    items: list[PushedPrompt]


@router.get(
    "/prompts/{prompt_id}/file",
    response_class=Response,
    responses={200: {"content": {"text/yaml": {"schema": {"type": "string"}}}, "description": "The file."}},
)
async def get_prompt_file(session: Reading, prompt_id: UUID) -> Response:
    """Show a prompt's newest version as a file."""
    prompt = found(await store.get_prompt(session, prompt_id), "prompt", prompt_id)
    spec = await versions.spec_of_prompt(session, prompt)
    text = write_prompts([spec], versions={spec.slug: prompt.version})
    return Response(text, media_type="text/yaml")


@router.put("/prompt-files", response_model=PushedPrompts)
async def put_prompt_file(orchestrator: OrchestratorOf, caller: CallerOf, data: PromptFileInput) -> Any:
    """Store the prompts of a file as their next versions: all of them or, where one cannot be, none."""
    files = await asyncio.to_thread(read_files, {data.name: data.text})
    prompts = [prompt for several in files.values() for prompt in several]
    async with orchestrator.database.transaction() as session:
        pushed = await push(session, prompts, author=caller.name, message=data.message, overwrite=data.overwrite)
    return {"items": [{"slug": one.slug, "version": one.version, "change": one.change} for one in pushed]}
