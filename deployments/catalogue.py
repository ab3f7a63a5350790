"""Every deployment, once. The stack registers these; `prefect.yaml` and `run_flow()` name the same, as a test holds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from uuid import UUID

from prefect import Flow
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.errors import UnknownFlowError
from contexten_core.events.burst import burst_result
from contexten_core.events.history import lifecycle_result
from contexten_core.events.redelivery_store import recovery_result
from contexten_core.learning.store import learning_result

WORK_POOL = "contexten"


@dataclass(frozen=True, slots=True)
class Workflow:
    """A flow and the deployment that it runs as.

    Attributes:
        name: the flow's name, which `run_flow()` and `contexten run` take.
        deployment: the deployment's name; Prefect knows it as `name/deployment`.
        entrypoint: `module:function`, which any Prefect worker that has the package can load.
        result: reads what a completed run returned from our database, as JSON-ready values, by its Prefect id.
        cron: when it runs by itself, in UTC.
    """

    name: str
    deployment: str
    entrypoint: str
    description: str
    result: Callable[[AsyncSession, UUID], Awaitable[Any]]
    tags: tuple[str, ...] = ()
    cron: str | None = None

    @property
    def full_name(self) -> str:
        return f"{self.name}/{self.deployment}"

    def load(self) -> Flow[..., Any]:
        module, _, function = self.entrypoint.partition(":")
        loaded: Flow[..., Any] = getattr(import_module(module), function)
        return loaded


LIFECYCLE = Workflow(
    name="lifecycle",
    deployment="webhook",
    entrypoint="flows.lifecycle:lifecycle",
    description="One stored event: understood, routed, executed, reported, learned from.",
    result=lifecycle_result,
    tags=("contexten",),
)
BURST = Workflow(
    name="burst",
    deployment="backlog",
    entrypoint="flows.burst:burst",
    description="Many stored events, each as by the lifecycle, in one flow run.",
    result=burst_result,
    tags=("contexten",),
)
LEARNING = Workflow(
    name="learning",
    deployment="scheduled",
    entrypoint="flows.learning:learning",
    description="What the outcomes so far have in common, and how each prompt does.",
    result=learning_result,
    tags=("contexten",),
    cron="17 */6 * * *",
)
MAINTENANCE = Workflow(
    name="maintenance",
    deployment="scheduled",
    entrypoint="flows.maintenance:maintenance",
    description="Experiments that show enough end, disk space is freed, and lost GitHub deliveries are sent again.",
    result=recovery_result,
    tags=("contexten",),
    cron="*/5 * * * *",
)

CATALOGUE: tuple[Workflow, ...] = (LIFECYCLE, BURST, LEARNING, MAINTENANCE)


def find(name: str) -> Workflow:
    """Return the workflow of that name, given as `learning` or `learning/scheduled`.

    Raises:
        UnknownFlowError: there is none; the message lists those that there are.
    """
    for workflow in CATALOGUE:
        if name in (workflow.name, workflow.full_name):
            return workflow
    known = ", ".join(workflow.name for workflow in CATALOGUE)
    raise UnknownFlowError(f"there is no flow {name!r}", hint=f"the known flows are: {known}")
