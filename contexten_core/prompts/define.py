"""Define a prompt: what to do, by which executor, within which limits, and for which events."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.prompts.models import ConditionOperator, PromptModel
from contexten_core.prompts.spec import ConditionSpec, PromptSpec
from contexten_core.prompts.templates.check import literal
from contexten_core.prompts.versions import save_spec

__all__ = ["CHECKED_ACTIONS", "ConditionSpec", "PromptSpec", "checks_of", "define_prompt"]

CHECKED_ACTIONS = ("opened", "reopened", "synchronize")
_AUTHOR = "contexten"


def checks_of(*, project_slug: str, project_name: str, command: str, limits: Mapping[str, Any]) -> PromptSpec:
    """Return the prompt that runs a project's own checks on every push and on every new head of a pull request."""
    return PromptSpec(
        slug=f"{project_slug}-checks",
        name=f"Checks of {project_name}",
        template=f"Run the project's own checks on the commit: {literal(command)}",
        executor_config={"command": command},
        limits=dict(limits),
        conditions=(
            ConditionSpec("project.slug", ConditionOperator.EQUALS, project_slug),
            ConditionSpec("event.type", ConditionOperator.IN, ["push", "pull_request"]),
            ConditionSpec("event.action", ConditionOperator.IN, [None, *CHECKED_ACTIONS]),
        ),
    )


async def define_prompt(
    session: AsyncSession, spec: PromptSpec, *, author: str = _AUTHOR, message: str = "Defined"
) -> PromptModel:
    """Store a prompt, or its next version where it differs from the newest; its status stays as it is.

    Raises:
        InvalidInputError: the spec holds what a prompt cannot.
    """
    return (await save_spec(session, spec, author=author, message=message)).prompt
