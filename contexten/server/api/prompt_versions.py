"""Versions of prompts: what each said, which are labelled, and who changed what and why."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query
from pydantic import BaseModel as Shape
from pydantic import Field

from contexten.server.api.answers import Cursor, Limit, found, listed, removed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import Prompt, PromptChange, PromptLabel, PromptVersion, list_of
from contexten.server.auth import CallerOf
from contexten.server.dependencies import OrchestratorOf, Reading, SettingsOf
from contexten_core.inputs import LARGEST_COUNT, Input
from contexten_core.prompts import labels, store, version_store, versions
from contexten_core.prompts.changes import LONGEST_MESSAGE, page_changes
from contexten_core.prompts.files import diff_specs
from contexten_core.prompts.models import PromptVersionModel
from contexten_core.prompts.spec import spec_of

router = api_router("/api", "prompts")

Message = Annotated[str | None, Query(max_length=LONGEST_MESSAGE, description="Why, for the history.")]
Number = Annotated[int, Path(ge=1, le=LARGEST_COUNT)]
Label = Annotated[str, Path(max_length=200)]
Expected = Annotated[int | None, Query(ge=1, le=LARGEST_COUNT, description="Only if this is still the newest.")]


class LabelMove(Input):
    """The version that a label is to be on."""

    version: Annotated[int, Field(ge=1, le=LARGEST_COUNT)]


class VersionDiff(Shape):
    """What two versions say differently, as a unified diff of their files; empty when they say the same."""

    before: int
    after: int
    diff: str


@router.get("/prompts/{prompt_id}/versions", response_model=list_of(PromptVersion))
async def list_prompt_versions(session: Reading, prompt_id: UUID, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List the newest versions of a prompt."""
    found(await store.get_prompt(session, prompt_id), "prompt", prompt_id)
    return listed(await versions.page_versions(session, prompt_id=prompt_id, limit=limit, cursor=cursor))


@router.get("/prompts/{prompt_id}/versions/{version}", response_model=PromptVersion)
async def get_prompt_version(session: Reading, prompt_id: UUID, version: Number) -> Any:
    """Show one version of a prompt."""
    return (await _version(session, prompt_id, version)).to_dict()


@router.get("/prompts/{prompt_id}/versions/{version}/diff/{other}", response_model=VersionDiff)
async def diff_prompt_versions(session: Reading, prompt_id: UUID, version: Number, other: Number) -> Any:
    """Show what `other` says differently than `version`."""
    before, after = [
        # Under one slug, which is no part of a version.
        spec_of("prompt", (await _version(session, prompt_id, number)).content)
        for number in (version, other)
    ]
    names = (f"version {version}", f"version {other}")
    return {"before": version, "after": other, "diff": diff_specs(before, after, names=names)}


@router.post("/prompts/{prompt_id}/versions/{version}/restore", response_model=Prompt)
async def restore_prompt_version(
    orchestrator: OrchestratorOf,
    caller: CallerOf,
    prompt_id: UUID,
    version: Number,
    message: Message = None,
    expected_version: Expected = None,
) -> Any:
    """Make what an earlier version said the newest version again. Labels stay where they are."""
    async with orchestrator.database.transaction() as session:
        prompt = found(await store.get_prompt(session, prompt_id), "prompt", prompt_id)
        saved = await versions.restore_version(
            session,
            prompt,
            version,
            author=caller.name,
            message=message,
            expected_version=expected_version,
        )
    return saved.prompt.to_dict()


@router.get("/prompts/{prompt_id}/labels", response_model=list_of(PromptLabel))
async def list_prompt_labels(session: Reading, prompt_id: UUID) -> Any:
    """List the labels of a prompt by name. `latest`, which is always on the newest version, is not among them."""
    found(await store.get_prompt(session, prompt_id), "prompt", prompt_id)
    return {"items": [row.to_dict() for row in await version_store.labels(session, prompt_id)], "next_cursor": None}


@router.put("/prompts/{prompt_id}/labels/{label}", response_model=PromptLabel)
async def set_prompt_label(
    orchestrator: OrchestratorOf,
    settings: SettingsOf,
    caller: CallerOf,
    prompt_id: UUID,
    label: Label,
    data: LabelMove,
    message: Message = None,
) -> Any:
    """Put a label on a version. Events are answered with the one labelled `production`, or else with the newest."""
    async with orchestrator.database.transaction() as session:
        row = await labels.set_label(
            session,
            prompt_id,
            label,
            data.version,
            author=caller.name,
            message=message,
            may_protected=caller.is_admin,
            settings=settings,
        )
    return row.to_dict()


@router.delete("/prompts/{prompt_id}/labels/{label}", status_code=204)
async def remove_prompt_label(
    orchestrator: OrchestratorOf,
    settings: SettingsOf,
    caller: CallerOf,
    prompt_id: UUID,
    label: Label,
    message: Message = None,
) -> None:
    """Take a label off a prompt."""
    async with orchestrator.database.transaction() as session:
        is_gone = await labels.remove_label(
            session,
            prompt_id,
            label,
            author=caller.name,
            message=message,
            may_protected=caller.is_admin,
            settings=settings,
        )
        removed(is_gone, "label", label)


@router.get("/prompts/{prompt_id}/changes", response_model=list_of(PromptChange))
async def list_changes_of_prompt(session: Reading, prompt_id: UUID, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List the newest changes of a prompt: who, why, and what."""
    prompt = found(await store.get_prompt(session, prompt_id), "prompt", prompt_id)
    return listed(await page_changes(session, slug=prompt.slug, limit=limit, cursor=cursor))


@router.get("/prompt-changes", response_model=list_of(PromptChange))
async def list_prompt_changes(
    session: Reading,
    slug: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """List the newest changes of all prompts, or of one slug; those of prompts that were removed too."""
    return listed(await page_changes(session, slug=slug, limit=limit, cursor=cursor))


async def _version(session: Reading, prompt_id: UUID, number: int) -> PromptVersionModel:
    prompt = found(await store.get_prompt(session, prompt_id), "prompt", prompt_id)
    version = await versions.get_version(session, prompt_id, number)
    if version is None:
        raise versions.no_version(prompt, number)
    return version
