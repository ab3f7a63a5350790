"""Labels of prompts: moved from version to version, protected ones only by who may."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from contexten_core.db import Database
from contexten_core.errors import InvalidInputError, NotFoundError
from contexten_core.inputs import checked
from contexten_core.prompts.change import delete_prompt, update_prompt
from contexten_core.prompts.changes import page_changes
from contexten_core.prompts.inputs import PromptUpdate
from contexten_core.prompts.labels import ProtectedLabelError, labels_of, remove_label, set_label
from contexten_core.prompts.models import PromptChange
from contexten_core.prompts.spec import PromptSpec
from contexten_core.prompts.versions import save_spec
from contexten_core.settings import Settings

NOBODY = UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")
SETTINGS = Settings(protected_prompt_labels=("production", "audited"))


@pytest.fixture
async def prompt_id(database: Database) -> UUID:
    """A prompt with three versions."""
    async with database.transaction() as session:
        for number in range(3):
            spec = PromptSpec("review", "Review", f"Review {number}")
            saved = await save_spec(session, spec, author="ann", message=f"draft {number}")
    return saved.prompt.id


async def put(database: Database, prompt_id: UUID, label: str, version: int, **given: Any) -> None:
    by: dict[str, Any] = {"author": "ann", "may_protected": True, "settings": SETTINGS} | given
    async with database.transaction() as session:
        await set_label(session, prompt_id, label, version, **by)


async def take_off(database: Database, prompt_id: UUID, label: str, **given: Any) -> bool:
    by: dict[str, Any] = {"author": "ann", "may_protected": True, "settings": SETTINGS} | given
    async with database.transaction() as session:
        return await remove_label(session, prompt_id, label, **by)


async def labels(database: Database, prompt_id: UUID) -> dict[str, int]:
    async with database.reading() as session:
        return await labels_of(session, prompt_id)


async def test_a_label_is_put_moved_and_removed_and_each_is_in_the_history(database: Database, prompt_id: UUID) -> None:
    await put(database, prompt_id, "staging", 3)
    await put(database, prompt_id, "production", 1, message="approved")
    await put(database, prompt_id, "staging", 2, author="bob")
    await put(database, prompt_id, "staging", 2)
    assert await labels(database, prompt_id) == {"production": 1, "staging": 2}
    assert await take_off(database, prompt_id, "staging")
    assert not await take_off(database, prompt_id, "staging")

    assert await labels(database, prompt_id) == {"production": 1}
    async with database.reading() as session:
        history = (await page_changes(session, slug="review", limit=50)).rows[::-1][3:]
    assert {row.change for row in history} == {PromptChange.LABEL}
    assert [(row.version, row.author, row.message, row.details) for row in history] == [
        (3, "ann", "Labelled version 3 staging", {"label": "staging", "from": None, "to": 3}),
        (1, "ann", "approved", {"label": "production", "from": None, "to": 1}),
        (2, "bob", "Moved staging from version 3 to 2", {"label": "staging", "from": 3, "to": 2}),
        (2, "ann", "Removed staging, which was on version 2", {"label": "staging", "from": 2, "to": None}),
    ]


@pytest.mark.parametrize("label", ["production", "audited"])
async def test_a_protected_label_is_moved_only_by_who_may(database: Database, prompt_id: UUID, label: str) -> None:
    with pytest.raises(ProtectedLabelError, match=f"the label '{label}' is protected") as caught:
        await put(database, prompt_id, label, 1, may_protected=False)
    await put(database, prompt_id, label, 1)
    with pytest.raises(ProtectedLabelError):
        await put(database, prompt_id, label, 2, may_protected=False)
    with pytest.raises(ProtectedLabelError):
        await take_off(database, prompt_id, label, may_protected=False)
    await put(database, prompt_id, "staging", 2, may_protected=False)

    assert (caught.value.status, caught.value.transient) == (403, False)
    assert await labels(database, prompt_id) == {label: 1, "staging": 2}


async def test_a_protected_label_is_not_got_rid_of_with_its_prompt_or_its_slug(
    database: Database, prompt_id: UUID
) -> None:
    protected = SETTINGS.protected_prompt_labels
    renamed = checked(PromptUpdate, {"slug": "other"})
    async with database.transaction() as session:
        await update_prompt(session, prompt_id, renamed, protected=protected)
    await put(database, prompt_id, "production", 1)

    async with database.transaction() as session:
        with pytest.raises(ProtectedLabelError):
            await update_prompt(session, prompt_id, checked(PromptUpdate, {"slug": "third"}), protected=protected)
        with pytest.raises(ProtectedLabelError):
            await delete_prompt(session, prompt_id, protected=protected)
        assert await update_prompt(session, prompt_id, checked(PromptUpdate, {"priority": 1}), protected=protected)

    assert await labels(database, prompt_id) == {"production": 1}
    async with database.transaction() as session:
        assert await delete_prompt(session, prompt_id)
    assert await labels(database, prompt_id) == {}


@pytest.mark.parametrize("label", ["latest", "", "3", "Production", "a b", "a@b", "ä", "x" * 64, "production\n"])
async def test_labels_that_are_none(database: Database, prompt_id: UUID, label: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await put(database, prompt_id, label, 1)

    assert set(caught.value.fields) == {"label"}
    assert await labels(database, prompt_id) == {}


@pytest.mark.parametrize("version", [0, -1, 4, 2**31, 2**70])
async def test_a_version_that_there_is_not_gets_no_label(database: Database, prompt_id: UUID, version: int) -> None:
    with pytest.raises(NotFoundError, match=f"review has no version {version}") as caught:
        await put(database, prompt_id, "staging", version)
    assert caught.value.hint == "its versions: 1 to 3"


async def test_a_prompt_that_there_is_not_has_no_label(database: Database) -> None:
    with pytest.raises(NotFoundError, match=f"there is no prompt {NOBODY}"):
        await put(database, NOBODY, "staging", 1)
    with pytest.raises(NotFoundError, match=f"there is no prompt {NOBODY}"):
        await take_off(database, NOBODY, "staging")


async def test_a_label_that_many_move_at_once_is_on_the_version_of_the_last(
    database: Database, prompt_id: UUID
) -> None:
    await asyncio.gather(*(put(database, prompt_id, "staging", 1 + number % 3) for number in range(9)))

    async with database.reading() as session:
        moves = [row for row in (await page_changes(session, limit=50)).rows if row.change is PromptChange.LABEL]
        assert await labels_of(session, prompt_id) == {"staging": moves[0].version}
    assert [move.details["from"] for move in moves if move.details] == [*(move.version for move in moves[1:]), None]
