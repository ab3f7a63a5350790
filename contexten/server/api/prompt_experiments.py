"""Experiments: several versions of a prompt share its events until one has proved better."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import Response
from pydantic import Field, create_model

from contexten.server.api.answers import Cursor, Limit, created, found, listed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import list_of, shape_of
from contexten.server.auth import CallerOf
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.db import utc_now
from contexten_core.inputs import LARGEST_COUNT, Input, Line
from contexten_core.prompts.choose import Variant
from contexten_core.prompts.experiments import conduct as experiments
from contexten_core.prompts.experiments import store as experiment_store
from contexten_core.prompts.experiments.results import Guardrails, Results
from contexten_core.prompts.models import ExperimentStatus, PromptExperimentModel

router = api_router("/api/prompt-experiments", "prompts")

PromptExperiment = shape_of(PromptExperimentModel)
PromptExperimentWithResults = create_model(
    "PromptExperimentWithResults", __base__=PromptExperiment, __module__=__name__, results=(Results, ...)
)


class VariantInput(Input):
    """A version, and its share of the events: `weight` of the sum of all weights."""

    version: Annotated[int, Field(strict=True, ge=1, le=LARGEST_COUNT)]
    weight: Annotated[float, Field(strict=True, gt=0, le=experiments.LARGEST_WEIGHT)]


class GuardrailsInput(Input):
    """What a variant must keep to get events: at least this success rate, at most these seconds on average."""

    success_rate: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    seconds: Annotated[float, Field(strict=True, gt=0, le=1e9)] | None = None


class PromptExperimentCreate(Input):
    """An experiment to start. The first variant is the control, which the others are compared with."""

    prompt_id: UUID
    variants: Annotated[
        list[VariantInput], Field(min_length=experiments.FEWEST_VARIANTS, max_length=experiments.MOST_VARIANTS)
    ]
    minimum_samples: Annotated[int, Field(strict=True, ge=1, le=experiments.MOST_MINIMUM_SAMPLES)] = 30
    guardrails: GuardrailsInput = GuardrailsInput()
    message: Line | None = None


class Reason(Input):
    """Why something is done, for the prompt's history."""

    message: Line | None = None


@router.get("", response_model=list_of(PromptExperiment))
async def list_prompt_experiments(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    prompt_id: UUID | None = None,
    status: ExperimentStatus | None = None,
) -> Any:
    """List the newest experiments."""
    return listed(
        await experiment_store.page_experiments(session, limit=limit, cursor=cursor, prompt_id=prompt_id, status=status)
    )


@router.post("", response_model=PromptExperiment, status_code=201)
async def start_prompt_experiment(
    orchestrator: OrchestratorOf, caller: CallerOf, response: Response, data: PromptExperimentCreate
) -> Any:
    """Have versions of a prompt share its events from now on, by subject: a pull request stays with its version.

    Where the prompt has a `production` label that is protected, it takes the permission to move that.
    """
    async with orchestrator.database.transaction() as session:
        row = await experiments.start_experiment(
            session,
            data.prompt_id,
            variants=[Variant(one.version, one.weight) for one in data.variants],
            minimum_samples=data.minimum_samples,
            guardrails=Guardrails(data.guardrails.success_rate, data.guardrails.seconds),
            author=caller.name,
            message=data.message,
            may_protected=caller.is_admin,
            settings=orchestrator.settings,
            now=utc_now(),
        )
    return created(response, row, "/api/prompt-experiments")


@router.get("/{experiment_id}", response_model=PromptExperimentWithResults)
async def get_prompt_experiment(session: Reading, experiment_id: UUID) -> Any:
    """Show one experiment, with what it shows so far and by which methods."""
    row = found(await experiment_store.get(session, experiment_id), "experiment", experiment_id)
    return row.to_dict() | {"results": asdict(await experiments.results(session, experiment_id))}


@router.post("/{experiment_id}/stop", response_model=PromptExperiment)
async def stop_prompt_experiment(
    orchestrator: OrchestratorOf, caller: CallerOf, experiment_id: UUID, data: Reason | None = None
) -> Any:
    """End an experiment without a proposal; events get the live version again."""
    async with orchestrator.database.transaction() as session:
        row = await experiments.stop_experiment(
            session, experiment_id, author=caller.name, message=data.message if data else None, now=utc_now()
        )
    return row.to_dict()


@router.post("/{experiment_id}/accept", response_model=PromptExperiment)
async def accept_prompt_experiment(
    orchestrator: OrchestratorOf, caller: CallerOf, experiment_id: UUID, data: Reason | None = None
) -> Any:
    """Label the version that an experiment proposes as `production`."""
    async with orchestrator.database.transaction() as session:
        row = await experiments.accept_proposal(
            session,
            experiment_id,
            author=caller.name,
            message=data.message if data else None,
            may_protected=caller.is_admin,
            settings=orchestrator.settings,
            now=utc_now(),
        )
    return row.to_dict()
