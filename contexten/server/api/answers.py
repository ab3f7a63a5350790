"""What the routes of the API say in the same way."""

from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Query, Response

from contexten_core.db import BaseModel
from contexten_core.db.paging import LARGEST_PAGE, Page
from contexten_core.errors import NotFoundError

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many items a page has.")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before this one.")]
Text = Annotated[str | None, Query(max_length=2_000)]


def listed(page: Page[M]) -> dict[str, Any]:
    return {"items": [row.to_dict() for row in page.rows], "next_cursor": page.next_cursor}


def found(thing: T | None, what: str, wanted: UUID | str) -> T:
    """Return what was found.

    Raises:
        NotFoundError: that is None.
    """
    if thing is None:
        raise NotFoundError(f"there is no {what} {wanted}")
    return thing


def removed(gone: bool, what: str, wanted: UUID | str) -> None:
    """Raise NotFoundError unless something was removed."""
    found(gone or None, what, wanted)


def created(response: Response, row: BaseModel, path: str) -> dict[str, Any]:
    """Say where the new row is, under `path`, and return it."""
    response.headers["Location"] = f"{path}/{row.id}"
    return row.to_dict()
