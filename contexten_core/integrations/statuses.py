"""What a run says on its commit: pending when it begins, then how it ended. Pure: these only write the words.

https://docs.github.com/en/rest/commits/statuses - a description holds at most 140 characters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contexten_core.events.claim import RunRef
from contexten_core.events.models import Conclusion
from contexten_core.projects.target import Target
from contexten_core.security.text import one_line
from contexten_core.settings import Settings

COMMIT_STATUS = "github.commit_status"
DESCRIPTION_LIMIT = 140


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to be done outside, once, in its place in its stream."""

    kind: str
    effect_key: str
    stream: str
    position: int
    content: Mapping[str, Any]
    run_id: UUID


def pending_status(settings: Settings, run: RunRef, target: Target, prompt: str) -> Effect:
    return _status(settings, run, target, prompt, state="pending", description="Running", position=0)


def final_status(
    settings: Settings, run: RunRef, target: Target, prompt: str, *, conclusion: Conclusion, description: str
) -> Effect:
    return _status(settings, run, target, prompt, state=conclusion.value, description=description, position=1)


def run_url(settings: Settings, run_id: UUID) -> str:
    """Return the address of our page about a run."""
    base = settings.public_url or f"http://localhost:{settings.api_port}"
    return f"{base.rstrip('/')}/runs/{run_id}"


def _status(
    settings: Settings, run: RunRef, target: Target, prompt: str, *, state: str, description: str, position: int
) -> Effect:
    name = "pending" if position == 0 else "final"
    return Effect(
        kind=COMMIT_STATUS,
        effect_key=f"{run.run_id}:commit_status:{name}",
        stream=f"github:{target.repository.lower()}:{target.commit}",
        position=position,
        run_id=run.run_id,
        content={
            "api_url": target.api_url or settings.github_api_url,
            "repository": target.repository,
            "sha": target.commit,
            "state": state,
            "context": f"contexten/{prompt}",
            "description": one_line(description, DESCRIPTION_LIMIT),
            "target_url": run_url(settings, run.run_id),
        },
    )
