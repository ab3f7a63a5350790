"""Run a flow of the catalogue by name, on the stack of this home."""

import asyncio
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import TypeAdapter

from contexten_core.runtime import open_runtime
from contexten_core.settings import Settings, get_settings
from deployments.attach import attached, running_state
from deployments.home import Home
from deployments.prefect_server import client_environment, ui_url
from deployments.stack import running_stack

if TYPE_CHECKING:
    from deployments.catalogue import Workflow

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class FlowResult:
    """One run of a flow.

    Attributes:
        name: the flow's name.
        run_id: the id of the Prefect flow run.
        state: the name of its state when this was written, such as `Completed`.
        result: what the flow returned, as JSON-ready values; None while it runs, and when it did not complete.
        url: its page in the Prefect UI.
    """

    name: str
    run_id: UUID
    state: str
    result: Any
    url: str


def run_flow(name: str, *, wait: bool = True, timeout: float | None = None, **parameters: Any) -> FlowResult:
    """Run a flow and return how it went. For async code there is `run_flow_async`.

    Uses the stack that runs on this `CONTEXTEN_HOME`; where none does, a temporary one is started, and ended when the
    run has.

    Args:
        name: a name of the catalogue, such as `lifecycle` or `learning`.
        wait: return when the run has ended, instead of once it is scheduled.
        timeout: seconds to wait for the end.
        parameters: the flow's own.

    Raises:
        UnknownFlowError: no such flow; lists those there are.
        prefect.exceptions.ParameterTypeError: a parameter that the flow does not take, or of a wrong type.
        TimeoutError: the run did not end in time; it goes on.
        RuntimeError: called in a running event loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(run_flow_async(name, wait=wait, timeout=timeout, **parameters))
    raise RuntimeError("run_flow() would block the running event loop; use `await run_flow_async(...)` there")


async def run_flow_async(
    name: str,
    *,
    wait: bool = True,
    timeout: float | None = None,  # noqa: ASYNC109 - part of the documented signature
    **parameters: Any,
) -> FlowResult:
    """Do what `run_flow` does, in a running event loop."""
    settings = get_settings()
    home = Home(settings.home.absolute())
    home.create()
    for variable, value in client_environment(home).items():
        os.environ.setdefault(variable, value)
    from deployments.catalogue import find  # Prefect takes a second to import; a mistyped setting should not wait

    workflow = find(name)
    workflow.load().validate_parameters(parameters)
    if running_state(settings) is not None or settings.prefect_api_url is not None:
        return await _run(attached(settings), workflow, parameters, wait=wait, limit=timeout)
    async with running_stack(settings, say=logger.info) as stack:
        return await _run(stack.settings, workflow, parameters, wait=True, limit=timeout)


async def _run(
    settings: Settings, workflow: "Workflow", parameters: dict[str, Any], *, wait: bool, limit: float | None
) -> FlowResult:
    from prefect.client.orchestration import PrefectClient

    assert settings.prefect_api_url is not None
    async with PrefectClient(settings.prefect_api_url) as client, asyncio.timeout(limit):
        deployment = await client.read_deployment_by_name(workflow.full_name)
        plain = TypeAdapter(dict[str, Any]).dump_python(parameters, mode="json")
        flow_run = await client.create_flow_run_from_deployment(deployment.id, parameters=plain)
        while wait and not (flow_run.state and flow_run.state.is_final()):
            await asyncio.sleep(_POLL_SECONDS)
            flow_run = await client.read_flow_run(flow_run.id)
    state = flow_run.state
    result = None
    if state is not None and state.is_completed():
        async with open_runtime(settings) as runtime, runtime.database.reading() as session:
            result = await workflow.result(session, flow_run.id)
    return FlowResult(
        name=workflow.name,
        run_id=flow_run.id,
        state=state.name or state.type.value if state is not None else "Unknown",
        result=result,
        url=f"{ui_url(settings.prefect_api_url)}/runs/flow-run/{flow_run.id}",
    )
