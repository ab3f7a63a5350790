"""Many runs at once: the same steps in the same order, and one step of all at once where nothing outside is asked.

Such a step of all is one transaction, so that it costs little more than that of one. When it breaks, for whichever of
them, nothing of it is kept, and each does the step alone: one run's failure is its own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core import lifecycle
from contexten_core.analytics.record import Recorded
from contexten_core.codebase import store as codebase_store
from contexten_core.codebase.examine import CodebaseSummary, open_mirror
from contexten_core.codebase.models import CodebaseStatus
from contexten_core.db.shared import SharedDatabase, share
from contexten_core.errors import ContextenError
from contexten_core.errors.handler import ErrorHandler
from contexten_core.errors.retries import retried
from contexten_core.events import outbox_store, run_store, store
from contexten_core.events.claim import RunRef
from contexten_core.events.finish import Ignored, LifecycleResult, complete_run
from contexten_core.events.models import Conclusion
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import RETRIES, Step
from contexten_core.execution.executor import executor_for
from contexten_core.learning.mine import Mined
from contexten_core.lifecycle import Code, Steps, handling, live
from contexten_core.projects.resolve import Target, asks_nobody
from contexten_core.prompts.models import Executor
from contexten_core.prompts.select import Choice
from contexten_core.runtime import Runtime
from contexten_core.tasks.outcome import Outcome
from contexten_core.tasks.trust import is_trusted

logger = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE_SECONDS = 0.25
"""How long those of a group wait for the next one that does a step alone to join them."""

LONGEST_WAIT_SECONDS = 2.0
"""How long they wait for those in all, while these join them one after another."""

_ORDER = (*Step, None)
_Work = Callable[[Runtime], Awaitable[Any]]


async def live_together(runtime: Runtime, runs: Sequence[RunRef]) -> list[LifecycleResult | BaseException]:
    """Handle events together, and return how the run of each ended, or what broke it."""
    group = _Group(replace(runtime, database=runtime.joined), members=len(runs))
    return await asyncio.gather(*(_live(runtime, group, run) for run in runs), return_exceptions=True)


def cancel(run_id: UUID) -> bool:
    """Make one run stop that is handled together with others here, which go on; False when it is not."""
    task = _LIVE.get(run_id)
    return task is not None and task.cancel()


_LIVE: dict[UUID, "asyncio.Task[Any]"] = {}


async def _live(runtime: Runtime, group: "_Group", run: RunRef) -> LifecycleResult:
    this = asyncio.current_task()
    assert this is not None
    _LIVE[run.run_id] = this
    try:
        async with handling(runtime, run):
            return await live(runtime, run, _steps(group))
    finally:
        _LIVE.pop(run.run_id, None)
        group.leave()


def _steps(group: "_Group") -> Steps:
    """Return the steps for members of a group: together where all that is needed is in the database."""

    async def ingest_event(run: RunRef) -> NormalisedEvent:
        return await group.together(run, Step.INGEST_EVENT, partial(_on(lifecycle.ingest_event), run))

    async def resolve_project(run: RunRef, event: NormalisedEvent) -> Target | Ignored:
        do = group.together if asks_nobody(event) else group.alone
        return await do(run, Step.RESOLVE_PROJECT, partial(_on(lifecycle.resolve_project), run, event))

    async def select_prompt(run: RunRef, event: NormalisedEvent, target: Target) -> Choice | Ignored:
        do = group.together if await group.trusts(event, target) else group.alone
        return await do(run, Step.SELECT_PROMPT, partial(_on(lifecycle.select_prompt), run, event, target))

    async def analyse_codebase(run: RunRef, target: Target) -> CodebaseSummary:
        return await group.analyse(run, target, partial(_on(lifecycle.analyse_codebase), run, target))

    async def execute_task(run: RunRef, event: NormalisedEvent, target: Target, choice: Choice, code: Code) -> Outcome:
        execute = partial(partial(_on(lifecycle.execute_task), run, event, target, choice, code), say=_nobody)
        if choice.executor == Executor.REPLY:
            return await group.together(run, Step.EXECUTE_TASK, execute)
        return await group.alone(run, Step.EXECUTE_TASK, execute, turn=group.turn(choice))

    async def record_analytics(run: RunRef, target: Target, choice: Choice, outcome: Outcome) -> Recorded:
        # A patch that is proposed is checked against the code.
        do = group.alone if outcome.details.get("proposals") else group.together
        record = partial(_on(lifecycle.record_analytics), run, target, choice, outcome)
        return await do(run, Step.RECORD_ANALYTICS, record)

    async def mine_patterns(run: RunRef, target: Target, choice: Choice, outcome: Outcome) -> Mined:
        mine = partial(_on(lifecycle.mine_patterns), run, target, choice, outcome)
        # A failure's pattern is one that others may be counting up just now.
        do = group.alone if outcome.failure is not None else group.together
        return await do(run, Step.MINE_PATTERNS, mine)

    async def complete(_: Runtime, run: RunRef, conclusion: Conclusion) -> LifecycleResult:
        return await group.together(run, None, partial(_on(complete_run), run, conclusion))

    return Steps(
        ingest_event=ingest_event,
        resolve_project=resolve_project,
        select_prompt=select_prompt,
        analyse_codebase=analyse_codebase,
        execute_task=execute_task,
        record_analytics=record_analytics,
        mine_patterns=mine_patterns,
        complete_run=complete,
    )


def _on(function: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    """Return a function that takes its runtime last."""

    def call(*arguments: Any, **named: Any) -> Awaitable[T]:
        *given, runtime = arguments
        return function(runtime, *given, **named)

    return call


def _nobody(_: str) -> None:
    """Show a log to nobody: it is stored."""


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    run: RunRef
    step: Step | None
    work: _Work
    result: "asyncio.Future[Any]"


class _Group:
    """Runs that wait for each other before each step, to do it together."""

    def __init__(self, runtime: Runtime, *, members: int) -> None:
        self._runtime = runtime
        self._busy = members
        self._alone = 0
        self._waiting: list[_Call] = []
        self._waiting_since = 0.0
        self._patience: asyncio.TimerHandle | None = None
        self._working: set[asyncio.Task[None]] = set()
        self._analysed: dict[tuple[str, str], asyncio.Event] = {}
        self._known: dict[Hashable, asyncio.Task[bool]] = {}
        self._unrecorded = _Unrecorded(runtime.database, settings=runtime.settings)

    def leave(self) -> None:
        """Have the others wait for one member less."""
        self._busy -= 1
        self._look()

    async def knows(self, target: Target) -> bool:
        """Tell whether a commit was analysed before."""
        return await self._once((target.clone_url, target.commit), lambda: _is_known(self._runtime, target))

    async def trusts(self, event: NormalisedEvent, target: Target) -> bool:
        """Tell whether what an event brings may be worked on without asking."""
        key = (event.type, event.actor, event.from_fork, target.repository, target.api_url)
        return await self._once(key, lambda: is_trusted(self._runtime, event, target))

    async def _once(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
        """Ask what is outside of the group's transactions, each question once."""
        if key not in self._known:
            self._known[key] = asyncio.create_task(ask())
        return await asyncio.shield(self._known[key])

    async def together(self, run: RunRef, step: Step | None, work: Callable[[Runtime], Awaitable[T]]) -> T:
        """Do a member's step once all members wait for one, or are busy no more."""
        loop = asyncio.get_running_loop()
        call = _Call(run, step, work, loop.create_future())
        if not self._waiting:
            self._waiting_since = loop.time()
        self._waiting.append(call)
        self._busy -= 1
        self._look()
        try:
            done, result = await call.result
        except asyncio.CancelledError:
            if call in self._waiting:
                self._waiting.remove(call)
                self._busy += 1
            raise
        return cast(T, result) if done else await self.alone(run, step, work)

    async def alone(
        self,
        _: RunRef,
        step: Step | None,
        work: Callable[[Runtime], Awaitable[T]],
        *,
        turn: AbstractAsyncContextManager[object] | None = None,
    ) -> T:
        """Do a member's step by itself, when its turn comes; the others wait for it only a moment."""
        with self._away():
            async with turn or nullcontext():
                return await self._retried(step, work)

    @contextmanager
    def _away(self) -> Iterator[None]:
        self._alone += 1
        self.leave()
        try:
            yield
        finally:
            self._alone -= 1
            self._busy += 1

    async def analyse(self, run: RunRef, target: Target, work: Callable[[Runtime], Awaitable[T]]) -> T:
        """Do the step together for a commit that is known; of one that is not, the first of the group does it alone."""
        if not await self.knows(target):
            key = (target.clone_url, target.commit)
            if key not in self._analysed:
                analysed = self._analysed[key] = asyncio.Event()
                try:
                    return await self.alone(run, Step.ANALYSE_CODEBASE, work)
                finally:
                    analysed.set()
            with self._away():
                await self._analysed[key].wait()
        return await self.together(run, Step.ANALYSE_CODEBASE, work)

    def turn(self, choice: Choice) -> AbstractAsyncContextManager[object]:
        """Return what to wait for before a prompt is carried out: on a checkout, that there will be a seat soon."""
        executor = executor_for(choice.executor.value, self._runtime.settings)
        return self._runtime.seats.soon if executor.needs_checkout else nullcontext()

    async def _retried(self, step: Step | None, work: Callable[[Runtime], Awaitable[T]]) -> T:
        if step is None:
            return await work(self._runtime)
        return await retried(RETRIES[step], partial(work, self._runtime))

    def _look(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._busy or not self._waiting:
            return
        if self._alone:
            loop = asyncio.get_running_loop()
            until = min(loop.time() + PATIENCE_SECONDS, self._waiting_since + LONGEST_WAIT_SECONDS)
            self._patience = loop.call_at(until, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        """Begin the earliest step that somebody waits for."""
        if not self._waiting:
            return
        # Those who did a step alone may have come further, or less far.
        step = min((call.step for call in self._waiting), key=_ORDER.index)
        calls = [call for call in self._waiting if call.step is step]
        self._waiting = [call for call in self._waiting if call.step is not step]
        task = asyncio.create_task(self._round(calls), name="step of a group")
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _round(self, calls: Sequence[_Call]) -> None:
        answers: list[tuple[bool, Any]]
        try:
            answers = [(True, result) for result in await self._try(calls)]
        except Exception as error:
            logger.info("%d runs go on alone with a step: %s", len(calls), error, exc_info=True)
            answers = [(False, None)] * len(calls)
        # Before the first of them goes on, or it would not wait for the others.
        self._busy += len(calls)
        for call, answer in zip(calls, answers, strict=True):
            if not call.result.done():
                call.result.set_result(answer)

    async def _try(self, calls: Sequence[_Call]) -> Sequence[Any]:
        works = [partial(self._on_shared, call.work) for call in calls]
        async with self._runtime.seats.together:
            return await share(self._runtime.database, works, first=partial(_look_ahead, calls))

    async def _on_shared(self, work: _Work, shared: SharedDatabase) -> Any:
        return await work(replace(self._runtime, database=shared, errors=self._unrecorded))


async def _look_ahead(calls: Sequence[_Call], session: AsyncSession) -> None:
    """Lock and read at once what every step needs of its event and its run."""
    step, run_ids = calls[0].step, [call.run.run_id for call in calls]
    event_ids = [call.run.event_id for call in calls]
    # The end writes on the events, whose payloads may be large; the first step alone reads these.
    if step in (Step.INGEST_EVENT, None):
        await store.lock_all(session, event_ids, payloads=step is not None)
    else:
        await store.lock_epochs(session, event_ids)
    await run_store.recall_all(session, run_ids, step=step)
    if step is Step.RECORD_ANALYTICS:
        await outbox_store.recall_all(session, run_ids)


async def _is_known(runtime: Runtime, target: Target) -> bool:
    try:
        mirror = open_mirror(runtime, target)
        async with runtime.database.reading() as session:
            found = await codebase_store.codebase(session, repository_url=mirror.url, commit=target.commit)
    except (ContextenError, SQLAlchemyError) as error:
        logger.info("whether %s is known will be seen one by one: %s", target.commit, error)
        return False
    return found is not None and found.status is CodebaseStatus.COMPLETED


class _Unrecorded(ErrorHandler):
    """What breaks a step of all is no error yet: whoever broke it does so again alone."""

    async def record(
        self,
        error: BaseException,
        *,
        context: Mapping[str, Any] | None = None,  # noqa: ARG002 - as the one it stands for
        component: str | None = None,  # noqa: ARG002 - as the one it stands for
    ) -> str:
        logger.debug("a step of all broke: %s", error)
        return ""
