import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contexten_core.db import Database
from contexten_core.errors import ConflictError, InvalidInputError, NotFoundError
from contexten_core.events.models import EventModel, EventProvider, RunModel
from contexten_core.projects.add import add_repository
from contexten_core.prompts import version_store
from contexten_core.prompts.changes import page_changes
from contexten_core.prompts.choose import Variant, VariantChoice
from contexten_core.prompts.experiments import conduct as experiments
from contexten_core.prompts.experiments import store as experiment_store
from contexten_core.prompts.experiments.conduct import Concluded, News
from contexten_core.prompts.experiments.results import Guardrails, Results
from contexten_core.prompts.experiments.statistics import Interval
from contexten_core.prompts.labels import ProtectedLabelError, labels_of, set_label
from contexten_core.prompts.models import ExperimentStatus, PromptExperimentModel
from contexten_core.prompts.spec import LIVE, PromptSpec
from contexten_core.prompts.usage import count_outcome
from contexten_core.prompts.versions import save_spec
from contexten_core.settings import Settings

NOW = datetime(2026, 1, 7, 10, 0, tzinfo=UTC)
SETTINGS = Settings()
HALVES = (Variant(1, 50), Variant(2, 50))


class Lab:
    """A prompt with three versions, and runs that are answered with them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.prompt_id: UUID
        self.project_id: UUID
        self._events = 0

    async def build(self) -> None:
        spec = PromptSpec(slug="checks", name="Checks", template="1", executor_config={"command": "make"})
        async with self.database.transaction() as session:
            for text in ("1", "2", "3"):
                saved = await save_spec(session, replace(spec, template=text), author="mara", message="Say it better")
            self.prompt_id = saved.prompt.id
            project, _ = await add_repository(session, full_name="acme/cashbox")
            self.project_id = project.id

    async def start(self, *variants: Variant, minimum: int = 10, **given: Any) -> UUID:
        async with self.database.transaction() as session:
            started = await experiments.start_experiment(
                session,
                given.pop("prompt_id", self.prompt_id),
                variants=variants or HALVES,
                minimum_samples=minimum,
                author="mara",
                settings=SETTINGS,
                now=NOW,
                **{"may_protected": True} | given,
            )
            return started.id

    async def runs(self, number: int) -> Sequence[UUID]:
        """Make runs of an event each."""
        runs = [uuid4() for _ in range(number)]
        async with self.database.transaction() as session:
            for run_id in runs:
                self._events += 1
                event = EventModel(
                    id=uuid4(),
                    name="push",
                    event_type="push",
                    provider=EventProvider.GITHUB,
                    title="push",
                    payload={},
                    digest=str(self._events),
                    available_at=NOW,
                )
                session.add(event)
                await session.flush()
                session.add(RunModel(id=run_id, name="push", event_id=event.id, attempt=1, started_at=NOW))
        return runs

    async def ask(self, run_id: UUID, subject: str | None = None) -> VariantChoice:
        async with self.database.transaction() as session:
            return await experiments.variant_for(session, self.prompt_id, 3, subject, run_id, {})

    async def end(self, run_id: UUID, version: int, *, succeeded: bool, seconds: float = 10.0) -> None:
        async with self.database.transaction() as session:
            await count_outcome(
                session,
                prompt_id=self.prompt_id,
                version=version,
                project_id=self.project_id,
                run_id=run_id,
                succeeded=succeeded,
                is_error=False,
                seconds=seconds,
                cost=0.25,
                now=NOW,
            )

    async def expose(
        self,
        experiment_id: UUID,
        version: int,
        outcomes: Sequence[bool],
        *,
        seconds: float = 10.0,
        subject: str | None = None,
    ) -> None:
        """Have runs answered with a version, and end."""
        runs = await self.runs(len(outcomes))
        async with self.database.transaction() as session:
            for run_id, succeeded in zip(runs, outcomes, strict=True):
                await experiment_store.add_exposure(
                    session,
                    version=version,
                    subject=subject,
                    probability=0.5,
                    prompt_id=self.prompt_id,
                    experiment_id=experiment_id,
                    run_id=run_id,
                )
                await experiment_store.finish_exposure(
                    session, run_id, succeeded=succeeded, seconds=seconds, cost=0.25, now=NOW
                )

    async def conclude(self, *, after: timedelta = timedelta(hours=1)) -> list[Concluded]:
        return await experiments.conclude_due(self.database, NOW + after)

    async def experiment(self, experiment_id: UUID) -> PromptExperimentModel:
        async with self.database.reading() as session:
            found = await experiment_store.get(session, experiment_id)
            assert found is not None
            return found

    async def results(self, experiment_id: UUID) -> Results:
        async with self.database.reading() as session:
            return await experiments.results(session, experiment_id)

    async def history(self) -> list[tuple[str, str]]:
        """Return who did what to the prompt's experiments and labels, the newest first."""
        async with self.database.reading() as session:
            page = await page_changes(session, slug="checks", limit=50)
            return [(row.author, row.message) for row in page.rows if row.change in {"experiment", "label"}]


@pytest.fixture
async def lab(database: Database) -> Lab:
    lab = Lab(database)
    await lab.build()
    return lab


async def test_without_an_experiment_the_live_version_answers(lab: Lab) -> None:
    (run_id,) = await lab.runs(1)
    assert await lab.ask(run_id, "acme/cashbox#1") == VariantChoice(3, 1.0)
    async with lab.database.reading() as session:
        assert await experiment_store.exposure_of(session, run_id) is None


async def test_subjects_are_shared_out_and_stay_with_their_version(lab: Lab) -> None:
    experiment_id = await lab.start()
    # So many that it cannot be chance when they all get the same.
    runs = await lab.runs(80)
    first = [await lab.ask(run_id, f"acme/cashbox#{number}") for number, run_id in enumerate(runs[:40])]
    again = [await lab.ask(run_id, f"acme/cashbox#{number}") for number, run_id in enumerate(runs[40:])]
    assert first == again
    assert {(choice.version, choice.probability) for choice in first} == {(1, 0.5), (2, 0.5)}
    found = await lab.results(experiment_id)
    shares = Counter(choice.version for choice in first + again)
    assert [(one.version, one.exposures) for one in found.variants] == [(1, shares[1]), (2, shares[2])]
    assert [one.samples for one in found.variants] == [0, 0]


async def test_what_a_run_or_its_subject_got_earlier_stands_when_weights_change(lab: Lab) -> None:
    experiment_id = await lab.start()
    runs = await lab.runs(3)
    choice = await lab.ask(runs[0], "acme/cashbox#1")
    other = 3 - choice.version
    async with lab.database.transaction() as session:
        row = await experiment_store.get(session, experiment_id)
        assert row is not None
        row.variants = [{"version": choice.version, "weight": 1}, {"version": other, "weight": 1_000_000}]
    assert await lab.ask(runs[0], "acme/cashbox#1") == choice
    assert await lab.ask(runs[1], "acme/cashbox#1") == choice

    async with lab.database.transaction() as session:
        row = await experiment_store.get(session, experiment_id)
        assert row is not None
        row.variants = [{"version": choice.version, "weight": 0}, {"version": other, "weight": 1}]
    assert await lab.ask(runs[0], "acme/cashbox#1") == choice
    assert await lab.ask(runs[2], "acme/cashbox#1") == VariantChoice(other, 1.0)


async def test_a_run_without_a_subject_is_drawn_for_by_itself(lab: Lab) -> None:
    experiment_id = await lab.start()
    (run_id,) = await lab.runs(1)
    choice = await lab.ask(run_id)
    assert await lab.ask(run_id) == choice
    assert sum(one.exposures for one in (await lab.results(experiment_id)).variants) == 1


async def test_a_run_that_asks_twice_at_once_is_exposed_once(lab: Lab) -> None:
    experiment_id = await lab.start()
    (run_id,) = await lab.runs(1)
    one, other = await asyncio.gather(lab.ask(run_id, "acme/cashbox#1"), lab.ask(run_id, "acme/cashbox#1"))
    assert one == other
    assert sum(found.exposures for found in (await lab.results(experiment_id)).variants) == 1


async def test_what_comes_of_a_run_is_a_sample_of_the_version_that_it_got(lab: Lab) -> None:
    experiment_id = await lab.start()
    (run_id,) = await lab.runs(1)
    choice = await lab.ask(run_id, "acme/cashbox#1")
    for _ in range(2):
        await lab.end(run_id, choice.version, succeeded=True, seconds=12.0)
    (found,) = [one for one in (await lab.results(experiment_id)).variants if one.exposures]
    assert (found.version, found.samples, found.successes) == (choice.version, 1, 1)
    assert (found.mean_seconds, found.seconds_interval, found.cost) == (12.0, None, 0.25)


async def test_results_say_how_each_version_does(lab: Lab) -> None:
    experiment_id = await lab.start()
    await lab.expose(experiment_id, 1, [True] * 3 + [False] * 7, seconds=10.0)
    await lab.expose(experiment_id, 2, [True] * 9 + [False], seconds=30.0)
    control, other = (await lab.results(experiment_id)).variants

    assert (control.is_control, control.against_control) == (True, None)
    assert (other.samples, other.subjects, other.worth, other.successes, other.success_rate) == (10, 10, 10, 9, 0.9)
    assert (other.success_interval.low, other.success_interval.high) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert (other.mean_seconds, other.seconds_interval, other.cost) == (30.0, Interval(30.0, 30.0), 2.5)
    assert other.against_control is not None
    assert other.against_control.difference == pytest.approx(0.6)
    interval = other.against_control.interval
    assert (interval.low, interval.high) == pytest.approx((0.1705, 0.8090), abs=1e-4)
    assert other.against_control.at_all_times.low < interval.low
    assert other.against_control.probability_better == pytest.approx(0.9965, abs=1e-3)


async def test_many_runs_of_one_subject_count_as_few(lab: Lab) -> None:
    experiment_id = await lab.start()
    await lab.expose(experiment_id, 2, [True] * 10, subject="acme/cashbox#1")
    await lab.expose(experiment_id, 2, [False] * 10, subject="acme/cashbox#2")
    _, found = (await lab.results(experiment_id)).variants
    assert (found.samples, found.subjects) == (20, 2)
    assert found.worth == pytest.approx(2.0)


async def test_the_better_version_is_proposed_and_moved_by_a_person_only(lab: Lab) -> None:
    experiment_id = await lab.start(minimum=20)
    await lab.expose(experiment_id, 1, [True] * 8 + [False] * 12)
    await lab.expose(experiment_id, 2, [True] * 19)
    assert await lab.conclude() == []
    await lab.expose(experiment_id, 2, [False])
    reason = "it is better than version 1: it succeeds in 95% of 20 runs, version 1 in 40% of 20"
    at_once = await asyncio.gather(lab.conclude(), lab.conclude())
    assert sorted(at_once, key=len) == [[], [Concluded(experiment_id, "checks", News.CONCLUDED, 2, reason)]]
    assert await lab.conclude() == []

    found = await lab.experiment(experiment_id)
    assert (found.status, found.ended_at) == (ExperimentStatus.CONCLUDED, NOW + timedelta(hours=1))
    assert found.proposal is not None
    assert (found.proposal["version"], found.proposal["reason"]) == (2, reason)
    assert [one["samples"] for one in found.proposal["results"]["variants"]] == [20, 20]
    async with lab.database.reading() as session:
        assert await labels_of(session, lab.prompt_id) == {}

    accept: dict[str, Any] = {"author": "jonas", "settings": SETTINGS, "now": NOW}
    async with lab.database.transaction() as session:
        with pytest.raises(ProtectedLabelError):
            await experiments.accept_proposal(session, experiment_id, may_protected=False, **accept)
    async with lab.database.transaction() as session:
        await experiments.accept_proposal(session, experiment_id, may_protected=True, **accept)
    async with lab.database.transaction() as session:
        assert await labels_of(session, lab.prompt_id) == {LIVE: 2}
        with pytest.raises(ConflictError, match="was accepted by jonas already"):
            await experiments.accept_proposal(session, experiment_id, may_protected=True, **accept)
    assert await lab.history() == [
        ("jonas", f"Accepted the experiment's proposal: {reason}"),
        ("jonas", f"Accepted the experiment's proposal: {reason}"),
        ("contexten", f"The experiment has ended and proposes version 2: {reason}"),
        ("mara", "Started an experiment: version 1 at 50%, version 2 at 50%"),
    ]


async def test_a_version_that_breaks_a_guardrail_gets_no_more_events(lab: Lab) -> None:
    variants = (Variant(1, 1), Variant(2, 1), Variant(3, 1))
    experiment_id = await lab.start(*variants, minimum=40, guardrails=Guardrails(success_rate=0.8, seconds=60))
    await lab.expose(experiment_id, 1, [True] * 12)
    await lab.expose(experiment_id, 2, [True] * 4 + [False] * 8)
    await lab.expose(experiment_id, 3, [True] * 9)
    reason = "its success rate of 33% after 12 runs is below 80%"
    assert await lab.conclude() == [Concluded(experiment_id, "checks", News.VARIANT_STOPPED, 2, reason)]
    assert await lab.conclude() == []

    found = await lab.experiment(experiment_id)
    assert found.status is ExperimentStatus.RUNNING
    assert found.variants[1] == {"version": 2, "weight": 0, "stopped": reason}
    assert (await lab.history())[0] == ("contexten", f"Version 2 gets no more events: {reason}")
    runs = await lab.runs(20)
    choices = [await lab.ask(run_id) for run_id in runs]
    assert {(choice.version, choice.probability) for choice in choices} == {(1, 0.5), (3, 0.5)}

    await lab.expose(experiment_id, 1, [True] * 28, seconds=90)
    await lab.expose(experiment_id, 3, [True] * 31)
    stopped, ended = await lab.conclude()
    assert (stopped.version, stopped.reason) == (1, "its mean of 66.0 s after 40 runs is above 60 s")
    assert (ended.version, ended.reason) == (3, "every variant but version 3 has broken a guardrail")


async def test_when_every_version_breaks_a_guardrail_nothing_is_proposed(lab: Lab) -> None:
    experiment_id = await lab.start(minimum=10, guardrails=Guardrails(success_rate=0.5))
    for version in (1, 2):
        await lab.expose(experiment_id, version, [False] * 10)
    assert [one.news for one in await lab.conclude()] == [News.VARIANT_STOPPED, News.VARIANT_STOPPED, News.CONCLUDED]
    (run_id,) = await lab.runs(1)
    assert await lab.ask(run_id) == VariantChoice(3, 1.0)
    async with lab.database.transaction() as session:
        with pytest.raises(ConflictError, match="proposes no version: every variant has broken a guardrail"):
            await experiments.accept_proposal(
                session, experiment_id, author="jonas", may_protected=True, settings=SETTINGS, now=NOW
            )


async def test_an_experiment_that_shows_nothing_ends_after_a_month(lab: Lab) -> None:
    experiment_id = await lab.start()
    assert await lab.conclude(after=timedelta(days=29, hours=23)) == []
    (ended,) = await lab.conclude(after=timedelta(days=30))
    assert (ended.experiment_id, ended.version) == (experiment_id, 1)
    assert ended.reason == "after 30 days no variant is certainly better than version 1"


async def test_one_experiment_runs_at_a_time_and_the_next_starts_when_it_was_stopped(lab: Lab) -> None:
    experiment_id = await lab.start()
    with pytest.raises(ConflictError, match="an experiment of checks is running"):
        await lab.start()
    async with lab.database.transaction() as session:
        await experiments.stop_experiment(session, experiment_id, author="jonas", now=NOW)
    async with lab.database.transaction() as session:
        with pytest.raises(ConflictError, match="has ended already: it is stopped"):
            await experiments.stop_experiment(session, experiment_id, author="jonas", now=NOW)
    (run_id,) = await lab.runs(1)
    assert await lab.ask(run_id) == VariantChoice(3, 1.0)
    assert (await lab.history())[0] == ("jonas", "Stopped the experiment")
    await lab.start()


async def test_of_two_that_start_at_once_one_is_told(lab: Lab) -> None:
    answers = await asyncio.gather(lab.start(), lab.start(), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["ConflictError", "UUID"]


@pytest.mark.parametrize(
    ("variants", "given", "problem"),
    [
        ((Variant(1, 1),), {}, "variants: needs 2 to 10"),
        ((Variant(1, 1), Variant(1, 2)), {}, "variants: names a version twice"),
        ((Variant(1, 1), Variant(2, 0)), {}, "variants: a weight is above 0"),
        ((Variant(1, 1), Variant(2, float("nan"))), {}, "variants: a weight is above 0"),
        ((Variant(1, 1), Variant(7, 1)), {}, "variants: checks has no version 7"),
        (HALVES, {"minimum": 0}, "minimum_samples: is 1 to 5000"),
        (HALVES, {"guardrails": Guardrails(success_rate=1.5)}, "guardrails.success_rate: is 0 to 1"),
        (HALVES, {"guardrails": Guardrails(seconds=0)}, "guardrails.seconds: is above 0"),
    ],
)
@pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
async def test_an_experiment_that_makes_no_sense_is_refused(
    lab: Lab, variants: tuple[Variant, ...], given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await lab.start(*variants, **given)
    assert str(refused.value).startswith(problem)


async def test_it_takes_the_permission_that_moving_production_takes(lab: Lab) -> None:
    async with lab.database.transaction() as session:
        await set_label(session, lab.prompt_id, LIVE, 1, author="jonas", may_protected=True, settings=SETTINGS)
    with pytest.raises(ProtectedLabelError):
        await lab.start(may_protected=False)
    with pytest.raises(NotFoundError):
        await lab.start(prompt_id=uuid4())
    await lab.start()


async def test_workers_are_told_of_every_change(lab: Lab) -> None:
    async def revision() -> int:
        async with lab.database.transaction() as session:
            return (await version_store.lock_catalogue(session)).revision

    before = await revision()
    experiment_id = await lab.start()
    started = await revision()
    async with lab.database.transaction() as session:
        await experiments.stop_experiment(session, experiment_id, author="jonas", now=NOW)
    assert before < started < await revision()
