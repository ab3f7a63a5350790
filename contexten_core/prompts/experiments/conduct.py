"""Experiments: several versions of a prompt share its events until one has proved better, and a person accepts that.

Whoever changes one locks the catalogue first, then the prompt, then the experiment.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database
from contexten_core.db.rows import taken_as
from contexten_core.errors import ConflictError, InvalidInputError, NotFoundError
from contexten_core.prompts import store, version_store
from contexten_core.prompts.changes import note_change, signed
from contexten_core.prompts.choose import ChoiceContext, Variant, VariantChoice, choose
from contexten_core.prompts.experiments import store as experiment_store
from contexten_core.prompts.experiments.results import Guardrails, Results, broken_guardrail, results_of, verdict
from contexten_core.prompts.labels import ProtectedLabelError, labels_of, set_label
from contexten_core.prompts.models import ExperimentStatus, PromptChange, PromptExperimentModel, PromptModel
from contexten_core.prompts.spec import LIVE
from contexten_core.prompts.versions import touch
from contexten_core.settings import Settings

FEWEST_VARIANTS = 2
MOST_VARIANTS = 10
LARGEST_WEIGHT = 1_000_000.0
MOST_MINIMUM_SAMPLES = 5_000
_CONTEXTEN = "contexten"


class News(StrEnum):
    """What became of an experiment."""

    STARTED = "started"
    VARIANT_STOPPED = "variant_stopped"
    CONCLUDED = "concluded"
    STOPPED = "stopped"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Concluded:
    """Something that `conclude` has done: a variant that gets no more events, or an experiment that has ended.

    Attributes:
        version: the variant that was stopped, or the version that is proposed, if any.
    """

    experiment_id: UUID
    slug: str
    news: News
    version: int | None
    reason: str


async def start_experiment(
    session: AsyncSession,
    prompt_id: UUID,
    *,
    variants: Sequence[Variant],
    minimum_samples: int,
    guardrails: Guardrails | None = None,
    author: str,
    message: str | None = None,
    may_protected: bool,
    settings: Settings,
    now: datetime,
) -> PromptExperimentModel:
    """Have versions of a prompt share its events from now on. The first is the control.

    Args:
        minimum_samples: of each version, before anything is concluded.
        may_protected: whether the author may move protected labels. An experiment has other versions answer than the
            one labelled `production`, so where there is that label it takes the same permission as to move it.

    Raises:
        NotFoundError: there is no such prompt.
        InvalidInputError: a version does not exist or is named twice, or a number is out of its range.
        ConflictError: an experiment of this prompt is running.
        ProtectedLabelError: it takes a permission that the author does not have.
    """
    await version_store.lock_catalogue(session)
    prompt = await store.get_prompt(session, prompt_id, lock=True)
    if prompt is None:
        raise NotFoundError(f"there is no prompt {prompt_id}")
    if not may_protected:
        await _check_unprotected(session, prompt, settings)
    guardrails = guardrails or Guardrails()
    _check(variants, minimum_samples, guardrails)
    missing = {variant.version for variant in variants} - await experiment_store.known_versions(
        session, prompt_id, [variant.version for variant in variants]
    )
    if missing:
        raise _invalid("variants", f"{prompt.slug} has no version {min(missing)}")
    is_running = ConflictError(
        f"an experiment of {prompt.slug} is running", hint=f"`contexten prompts experiment stop {prompt.slug}` ends it"
    )
    if await experiment_store.running(session, prompt_id) is not None:
        raise is_running
    shares = ", ".join(f"version {one.version} at {_share(one, variants):.0%}" for one in variants)
    author, message = signed(author, message or f"Started an experiment: {shares}")
    experiment = PromptExperimentModel(
        id=uuid4(),
        name=f"{prompt.slug}: " + " vs ".join(str(variant.version) for variant in variants),
        description=message,
        status=ExperimentStatus.RUNNING,
        variants=[asdict(variant) for variant in variants],
        minimum_samples=minimum_samples,
        guardrails={name: value for name, value in asdict(guardrails).items() if value is not None} or None,
        author=author,
        started_at=now,
        prompt_id=prompt_id,
    )
    async with taken_as(session, is_running):
        session.add(experiment)
    await _note(session, prompt, experiment, News.STARTED, author=author, message=message)
    return experiment


async def stop_experiment(
    session: AsyncSession, experiment_id: UUID, *, author: str, message: str | None = None, now: datetime
) -> PromptExperimentModel:
    """End an experiment without a proposal; events get the live version again.

    Raises:
        NotFoundError: there is no such experiment.
        ConflictError: it has ended.
    """
    prompt, experiment = await _locked(session, experiment_id)
    if experiment.status is not ExperimentStatus.RUNNING:
        raise ConflictError(f"the experiment of {prompt.slug} has ended already: it is {experiment.status.value}")
    experiment.status, experiment.ended_at = ExperimentStatus.STOPPED, now
    message = message or "Stopped the experiment"
    await _note(session, prompt, experiment, News.STOPPED, author=author, message=message)
    return experiment


async def accept_proposal(
    session: AsyncSession,
    experiment_id: UUID,
    *,
    author: str,
    message: str | None = None,
    may_protected: bool,
    settings: Settings,
    now: datetime,
) -> PromptExperimentModel:
    """Label the version that an experiment proposes as `production`.

    Raises:
        NotFoundError: there is no such experiment.
        ConflictError: it proposes nothing, or its proposal was accepted before.
        ProtectedLabelError: it takes a permission that the author does not have.
    """
    prompt, experiment = await _locked(session, experiment_id)
    proposal: dict[str, Any] = experiment.proposal or {}
    version = proposal.get("version")
    if version is None:
        said = proposal.get("reason") or f"it is {experiment.status.value}"
        raise ConflictError(f"the experiment of {prompt.slug} proposes no version: {said}")
    if "accepted_by" in proposal:
        raise ConflictError(f"version {version} of {prompt.slug} was accepted by {proposal['accepted_by']} already")
    author, message = signed(author, message or f"Accepted the experiment's proposal: {proposal['reason']}")
    await set_label(
        session,
        prompt.id,
        LIVE,
        version,
        author=author,
        message=message,
        may_protected=may_protected,
        settings=settings,
    )
    experiment.proposal = {**proposal, "accepted_by": author, "accepted_at": now.isoformat()}
    await _note(session, prompt, experiment, News.ACCEPTED, author=author, message=message, version=version)
    return experiment


async def variant_for(
    session: AsyncSession,
    prompt_id: UUID,
    live_version: int,
    subject: str | None,
    run_id: UUID,
    fields: Mapping[str, Any] | None = None,
) -> VariantChoice:
    """Return the version that answers a run, and keep that as the run's exposure when an experiment is running.

    A run that asks again gets what it got, whatever has changed meanwhile. A subject keeps the version that it had
    earlier in the experiment, with the probability that it was chosen with then, as long as that still gets events.
    Without an experiment it is the live version, and nothing is kept.
    """
    stored = await experiment_store.exposure_of(session, run_id)
    if stored is not None and stored.prompt_id == prompt_id:
        return VariantChoice(stored.version, stored.probability)
    if stored is not None:
        # Another prompt answers the run after all.
        await experiment_store.delete_exposure(session, run_id)
    experiment = await experiment_store.running(session, prompt_id)
    variants = [] if experiment is None else _live(experiment)
    if experiment is None or not variants:
        return VariantChoice(live_version, 1.0)
    choice = await _earlier(session, experiment.id, subject, variants)
    if choice is None:
        context = ChoiceContext(prompt_id, experiment.id, subject or str(run_id), fields or {})
        choice = choose(variants, context)
    await experiment_store.add_exposure(
        session,
        version=choice.version,
        subject=subject,
        probability=choice.probability,
        prompt_id=prompt_id,
        experiment_id=experiment.id,
        run_id=run_id,
    )
    return choice


async def _earlier(
    session: AsyncSession, experiment_id: UUID, subject: str | None, variants: Sequence[Variant]
) -> VariantChoice | None:
    if subject is None:
        return None
    versions = [variant.version for variant in variants]
    found = await experiment_store.last_exposure(session, experiment_id, subject, versions)
    return None if found is None else VariantChoice(found.version, found.probability)


async def results(session: AsyncSession, experiment_id: UUID) -> Results:
    """Return what an experiment shows so far.

    Raises:
        NotFoundError: there is no such experiment.
    """
    experiment = await experiment_store.get(session, experiment_id)
    if experiment is None:
        raise _no_experiment(experiment_id)
    return results_of(experiment, await experiment_store.tallies(session, experiment_id))


async def conclude_due(database: Database, now: datetime) -> list[Concluded]:
    """Do for every running experiment what `conclude` does, each in a transaction of its own."""
    async with database.reading() as session:
        running = await experiment_store.all_running(session)
    done: list[Concluded] = []
    for experiment_id in running:
        async with database.transaction() as session:
            done += await _conclude(session, experiment_id, now)
    return done


async def conclude(session: AsyncSession, now: datetime) -> list[Concluded]:
    """Stop the variants that have broken a guardrail, and end the experiments that show enough.

    An experiment that ends proposes a version, which `accept_proposal` labels; no label is moved here. All of it is
    in the prompt's history, by `contexten`.
    """
    done: list[Concluded] = []
    for experiment_id in await experiment_store.all_running(session):
        done += await _conclude(session, experiment_id, now)
    return done


async def _conclude(session: AsyncSession, experiment_id: UUID, now: datetime) -> list[Concluded]:
    experiment = await experiment_store.get(session, experiment_id)
    if experiment is None or not _is_due(experiment, await results(session, experiment_id), now):
        return []
    prompt, experiment = await _locked(session, experiment_id)
    if experiment.status is not ExperimentStatus.RUNNING:
        return []
    done = await _stop_variants(session, prompt, experiment)
    found = await results(session, experiment_id)
    ended = verdict(found, started_at=experiment.started_at, now=now)
    if ended is not None:
        experiment.status, experiment.ended_at = ExperimentStatus.CONCLUDED, now
        experiment.proposal = {"version": ended.version, "reason": ended.reason, "results": asdict(found)}
        what = "nothing" if ended.version is None else f"version {ended.version}"
        message = f"The experiment has ended and proposes {what}: {ended.reason}"
        await _note(
            session, prompt, experiment, News.CONCLUDED, author=_CONTEXTEN, message=message, version=ended.version
        )
        done.append(Concluded(experiment_id, prompt.slug, News.CONCLUDED, ended.version, ended.reason))
    return done


def _is_due(experiment: PromptExperimentModel, found: Results, now: datetime) -> bool:
    if any(broken_guardrail(variant, found) for variant in found.live):
        return True
    return verdict(found, started_at=experiment.started_at, now=now) is not None


async def _stop_variants(
    session: AsyncSession, prompt: PromptModel, experiment: PromptExperimentModel
) -> list[Concluded]:
    found = await results(session, experiment.id)
    broken = {variant.version: broken_guardrail(variant, found) for variant in found.live}
    reasons = {version: reason for version, reason in broken.items() if reason is not None}
    experiment.variants = [
        {**one, "weight": 0, "stopped": reasons[one["version"]]} if one["version"] in reasons else one
        for one in experiment.variants
    ]
    for version, reason in reasons.items():
        message = f"Version {version} gets no more events: {reason}"
        await _note(
            session, prompt, experiment, News.VARIANT_STOPPED, author=_CONTEXTEN, message=message, version=version
        )
    return [
        Concluded(experiment.id, prompt.slug, News.VARIANT_STOPPED, version, reason)
        for version, reason in reasons.items()
    ]


async def _locked(session: AsyncSession, experiment_id: UUID) -> tuple[PromptModel, PromptExperimentModel]:
    await version_store.lock_catalogue(session)
    found = await experiment_store.get(session, experiment_id)
    prompt = await store.get_prompt(session, found.prompt_id, lock=True) if found else None
    experiment = await experiment_store.get(session, experiment_id, lock=True) if prompt else None
    if prompt is None or experiment is None:
        raise _no_experiment(experiment_id)
    return prompt, experiment


async def _note(
    session: AsyncSession,
    prompt: PromptModel,
    experiment: PromptExperimentModel,
    news: News,
    *,
    author: str,
    message: str,
    version: int | None = None,
) -> None:
    await session.flush()
    details = {"experiment_id": str(experiment.id), "what": news.value, "variants": experiment.variants}
    await note_change(
        session, prompt, PromptChange.EXPERIMENT, author=author, message=message, version=version, details=details
    )
    await touch(session, prompt)


async def _check_unprotected(session: AsyncSession, prompt: PromptModel, settings: Settings) -> None:
    if LIVE in settings.protected_prompt_labels and LIVE in await labels_of(session, prompt.id):
        raise ProtectedLabelError(
            f"the label {LIVE!r} of {prompt.slug} is protected, and an experiment would have other versions answer",
            hint="Somebody with a token of the role `admin` can do this.",
        )


def _live(experiment: PromptExperimentModel) -> list[Variant]:
    variants = (Variant(int(one["version"]), float(one["weight"])) for one in experiment.variants)
    return [variant for variant in variants if variant.weight > 0]


def _check(variants: Sequence[Variant], minimum_samples: int, guardrails: Guardrails) -> None:
    if not FEWEST_VARIANTS <= len(variants) <= MOST_VARIANTS:
        raise _invalid("variants", f"needs {FEWEST_VARIANTS} to {MOST_VARIANTS}")
    if len({variant.version for variant in variants}) < len(variants):
        raise _invalid("variants", "names a version twice")
    if not all(0 < variant.weight <= LARGEST_WEIGHT for variant in variants):
        raise _invalid("variants", f"a weight is above 0 and at most {LARGEST_WEIGHT:g}")
    if not 1 <= minimum_samples <= MOST_MINIMUM_SAMPLES:
        raise _invalid("minimum_samples", f"is 1 to {MOST_MINIMUM_SAMPLES}")
    if guardrails.success_rate is not None and not 0 <= guardrails.success_rate <= 1:
        raise _invalid("guardrails.success_rate", "is 0 to 1")
    if guardrails.seconds is not None and not 0 < guardrails.seconds < math.inf:
        raise _invalid("guardrails.seconds", "is above 0")


def _share(variant: Variant, variants: Sequence[Variant]) -> float:
    return variant.weight / math.fsum(one.weight for one in variants)


def _invalid(field: str, problem: str) -> InvalidInputError:
    return InvalidInputError(f"{field}: {problem}", fields={field: problem})


def _no_experiment(experiment_id: UUID) -> NotFoundError:
    return NotFoundError(f"there is no experiment {experiment_id}")
