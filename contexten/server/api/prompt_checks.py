"""Prompts checked before an event tells: static checks, and what would have become of the newest events."""

import asyncio
from typing import Annotated, Any

from fastapi import Request
from pydantic import BaseModel as Shape
from pydantic import Field

from contexten.server.api.routing import api_router
from contexten.server.dependencies import Reading, SettingsOf
from contexten_core.inputs import Input
from contexten_core.prompts.files import read_prompt_file
from contexten_core.prompts.lint.lint import Severity, lint
from contexten_core.prompts.lint.stored import lint_stored
from contexten_core.prompts.whatif import whatif

router = api_router("/api/prompts", "prompts")

_MOST_EVENTS = 2_000
_MOST_PROMPTS = 2_000
_MOST_AT_ONCE = 2
_NAME = "text"

_FileText = Annotated[str, Field(min_length=1, max_length=256 * 1024, description="A file of prompts, in YAML.")]


class LintInput(Input):
    """What is checked: the prompts of a file, or without one those that are stored."""

    text: _FileText | None = None


class WhatIfInput(Input):
    """Changed prompts, as a file, and how many of the newest events are replayed."""

    text: _FileText | None = None
    last: Annotated[int, Field(ge=1, le=_MOST_EVENTS)] = 1_000
    remove: Annotated[list[str], Field(max_length=500)] = Field(default_factory=list)


class PromptFinding(Shape):
    """One thing that a check has found; `part` is a path within the prompt as a file has it."""

    code: str
    severity: Severity
    slug: str | None
    message: str
    where: str
    part: list[str | int]
    line: int | None
    column: int | None
    related: list[str]


class PromptFindings(Shape):
    """Errors first, then warnings, then what is good to know."""

    items: list[PromptFinding]


class WhatIfExample(Shape):
    """One event, and what decided that another prompt answers it."""

    event_id: str
    title: str
    why: str


class WhatIfMove(Shape):
    """Events that one prompt answers now, and another would; null stands for ignored."""

    before: str | None
    after: str | None
    count: int
    examples: list[WhatIfExample]


class PromptWhatIf(Shape):
    """How the newest events would be answered by changed prompts."""

    events: int
    same: int
    same_but_changed: int
    different: int
    newly_handled: int
    newly_ignored: int
    unknown: int
    added: list[str]
    replaced: list[str]
    removed: list[str]
    unchanged: list[str]
    moves: list[WhatIfMove]
    other_moves: int
    unknown_examples: list[WhatIfExample]


@router.post("/lint", response_model=PromptFindings)
async def lint_prompts(request: Request, session: Reading, settings: SettingsOf, data: LintInput) -> Any:
    """Check prompts without running them. Nothing is written."""
    async with _places(request):
        if data.text is None:
            findings = await lint_stored(session, settings=settings, most=_MOST_PROMPTS)
        else:
            specs = read_prompt_file(data.text, name=_NAME)
            findings = await asyncio.to_thread(lint, specs, settings=settings, is_whole=False)
    return {"items": [finding.as_dict() for finding in findings]}


@router.post("/whatif", response_model=PromptWhatIf)
async def what_if(request: Request, session: Reading, data: WhatIfInput) -> Any:
    """Replay the newest events against changed prompts. Nothing is written."""
    specs = read_prompt_file(data.text, name=_NAME) if data.text is not None else []
    async with _places(request):
        return (await whatif(session, specs, last=data.last, removed=data.remove)).as_dict()


def _places(request: Request) -> asyncio.Semaphore:
    """Return what bounds how many of these checks this application makes at once."""
    state = request.app.state
    if not hasattr(state, "prompt_checks"):
        state.prompt_checks = asyncio.Semaphore(_MOST_AT_ONCE)
    places: asyncio.Semaphore = state.prompt_checks
    return places
