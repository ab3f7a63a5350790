"""What a prompt would say about an event."""

import asyncio
from dataclasses import asdict, replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel as Shape
from pydantic import Field

from contexten.server.api.answers import found
from contexten.server.api.routing import api_router
from contexten.server.dependencies import Reading
from contexten_core.inputs import Input, JSONObject, Line, LongText
from contexten_core.prompts import store, versions
from contexten_core.prompts.preview import preview
from contexten_core.prompts.spec import LIVE, spec_of
from contexten_core.prompts.templates.render import Renderer

router = api_router("/api/prompts", "prompts")

_MOST_AT_ONCE = 2


class PreviewInput(Input):
    """What a prompt is to be shown with.

    Attributes:
        version: a label or the number of a version; the live one when left out.
        template: a text to be shown instead of the prompt's own and its templates'.
        fields: values by their path, `{"event.title": "Hello"}`, which come before those of the event.
    """

    version: Annotated[Line, Field(min_length=1)] = LIVE
    event_id: UUID | None = None
    template: LongText | None = None
    fields: JSONObject = Field(default_factory=dict)
    language: Line | None = None
    context_type: Line | None = None


class PromptPreview(Shape):
    """What a prompt would say. `absent` are the fields that it uses and that are not known; `notes` say why."""

    slug: str
    version: int
    text: str
    system_text: str | None
    template: str | None
    versions: list[str]
    absent: list[str]
    notes: list[str]


@router.post("/{prompt_id}/preview", response_model=PromptPreview)
async def preview_prompt(request: Request, session: Reading, prompt_id: UUID, data: PreviewInput) -> Any:
    """Show what a prompt would say about a stored event or given fields. Nothing is written."""
    prompt = found(await store.get_prompt(session, prompt_id), "prompt", prompt_id)
    _, version = await versions.get_reference(session, prompt.slug, data.version)
    spec = spec_of(prompt.slug, version.content)
    if data.template is not None:
        spec = replace(spec, template=data.template, templates=())
    async with _places(request), Renderer() as renderer:
        shown = await preview(
            session,
            renderer,
            prompt=spec,
            event_id=data.event_id,
            fields=data.fields,
            language=data.language,
            context_type=data.context_type,
        )
    return {**asdict(shown), **asdict(shown.rendered), "version": version.version}


def _places(request: Request) -> asyncio.Semaphore:
    """Return what bounds how many previews this application renders at once."""
    state = request.app.state
    if not hasattr(state, "previews"):
        state.previews = asyncio.Semaphore(_MOST_AT_ONCE)
    places: asyncio.Semaphore = state.previews
    return places
