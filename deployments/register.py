"""Make the Prefect server know our work pool and our deployments."""

from contextlib import suppress
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectAlreadyExists
from prefect.utilities.callables import parameter_schema

from deployments.catalogue import CATALOGUE, WORK_POOL, Workflow


async def register(client: PrefectClient) -> dict[UUID, Workflow]:
    """Create or update the pool and every deployment; return the workflows by deployment id. Safe to repeat."""
    pool = WorkPoolCreate(name=WORK_POOL, type="process", description="Runs in Contexten's own worker.")
    with suppress(ObjectAlreadyExists):
        await client.create_work_pool(pool)
    return {await _register(client, workflow): workflow for workflow in CATALOGUE}


async def _register(client: PrefectClient, workflow: Workflow) -> UUID:
    flow = workflow.load()
    schedules = []
    if workflow.cron is not None:
        schedules.append(DeploymentScheduleCreate(schedule=CronSchedule(cron=workflow.cron, timezone="UTC")))
    return await client.create_deployment(
        flow_id=await client.create_flow(flow),
        name=workflow.deployment,
        entrypoint=workflow.entrypoint,
        description=workflow.description,
        tags=list(workflow.tags),
        work_pool_name=WORK_POOL,
        schedules=schedules,
        parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
        enforce_parameter_schema=True,
        pull_steps=[],
    )
