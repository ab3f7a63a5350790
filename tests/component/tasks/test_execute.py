"""Step 5 with real commands in checkouts of a real repository."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from contexten.emulators.repositories import DemoRepository
from contexten_core.codebase.examine import CodebaseSummary
from contexten_core.db import utc_now
from contexten_core.events.claim import claim_events
from contexten_core.events.models import Conclusion, EventModel, EventProvider
from contexten_core.learning.failure import FailureKind
from contexten_core.tasks.change import update_task
from contexten_core.tasks.inputs import TaskUpdate
from contexten_core.tasks.models import TaskLogChunkModel, TaskStatus
from contexten_core.tasks.outcome import Unavailable

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker
    from tests.component.tasks.conftest import Bench


async def test_a_command_that_succeeds_completes_its_task(bench: "Bench") -> None:
    bench.use_shell("cat README.md; echo done >&2")
    outcome = await bench.execute()
    history = await bench.history()
    (execution,) = history.executions

    assert (outcome.conclusion, outcome.exit_code, outcome.succeeded) == (Conclusion.SUCCESS, 0, True)
    assert outcome.headline.startswith("Succeeded in ")
    assert (outcome.failure, outcome.error) == (None, None)
    assert history.task is not None
    assert (history.task.status, history.task.error_message) == (TaskStatus.COMPLETED, None)
    assert history.task.title == "acme-thermometer-checks: acme/thermometer main push"
    assert history.task.project_id == bench.target.project_id
    assert history.task.context is not None
    assert history.task.context["commit"] == bench.target.commit
    assert (execution.execution_number, execution.status) == (1, TaskStatus.COMPLETED)
    assert execution.input_parameters is not None
    assert execution.input_parameters["command"].startswith("sh -c ")
    assert history.log == "# Thermometer\n\nConverts temperatures between scales.\ndone\n"
    assert "".join(bench.heard) == history.log
    assert execution.duration_seconds is not None
    assert 0 < execution.duration_seconds < 60
    assert await bench.counts() == (1, 1, 0)
    assert list(bench.checkouts.iterdir()) == []


async def test_a_command_that_fails_is_a_failed_task_and_no_error(bench: "Bench") -> None:
    bench.use_shell("echo 'ERROR: the printer is on fire'; exit 3")
    outcome = await bench.execute()
    history = await bench.history()

    assert (outcome.conclusion, outcome.exit_code, outcome.error) == (Conclusion.FAILURE, 3, None)
    assert "the printer is on fire" in outcome.headline
    assert history.task is not None
    assert (history.task.status, history.task.error_message) == (TaskStatus.FAILED, outcome.headline)
    assert history.executions[0].error_details is not None
    assert history.executions[0].error_details["code"] == "command_failed"
    assert await bench.counts() == (1, 0, 1)


async def test_it_runs_on_exactly_the_commit_of_the_event(bench: "Bench", thermometer: DemoRepository) -> None:
    bench.use_shell("ls; grep -c fahrenheit_to_celsius thermometer/scales.py; ls -a | grep -c '^.git$'")
    bench.target = replace(bench.target, commit=thermometer.parent)
    assert isinstance(await bench.worker.examine(bench.run, bench.target), CodebaseSummary)
    mirror = bench.worker.runtime.mirrors.open(bench.target.clone_url, allow_local=True)
    await asyncio.to_thread(mirror.fetch, thermometer.parent, "refs/heads/main")
    await bench.execute()

    assert (await bench.history()).log == "README.md\npyproject.toml\ntests\nthermometer\n0\n0\n"


async def test_a_command_that_does_not_exist(bench: "Bench") -> None:
    bench.use("no-such-program --version")
    outcome = await bench.execute()
    history = await bench.history()

    assert (outcome.conclusion, outcome.error, outcome.exit_code) == (Conclusion.ERROR, "execution", None)
    assert outcome.headline == "the command 'no-such-program' was not found"
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.ENVIRONMENT
    assert history.task is not None
    assert history.task.status is TaskStatus.FAILED
    assert history.log == "the command 'no-such-program' was not found\n"
    assert await bench.counts() == (1, 0, 1)
    assert list(bench.checkouts.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "limits", "message"),
    [
        (None, {}, "the prompt acme-thermometer-checks has no command"),
        ("", {}, "has no command"),
        ([], {}, "has no command"),
        (["make", 7], {}, "has no command"),
        ("sh -c 'unclosed", {}, "cannot be read: No closing quotation"),
        ("true", {"wall_seconds": 0}, "the limit wall_seconds of the prompt acme-thermometer-checks is 0"),
        ("true", {"wall_seconds": "60"}, "is '60', not a positive number"),
        ("true", {"output_bytes": True}, "is True, not a positive number"),
    ],
)
async def test_a_prompt_that_is_wrong_is_a_failed_task_that_says_so(
    bench: "Bench", command: Any, limits: dict[str, Any], message: str
) -> None:
    bench.use(command, **limits)
    outcome = await bench.execute()

    assert (outcome.conclusion, outcome.error) == (Conclusion.ERROR, "configuration")
    assert message in outcome.headline


async def test_a_command_can_be_a_list(bench: "Bench") -> None:
    bench.use(["echo", "two  words", "$HOME", "; rm -rf *"])
    await bench.execute()

    assert (await bench.history()).log == "two  words $HOME ; rm -rf *\n"


async def test_code_that_cannot_be_had_is_a_failed_task_with_gits_words(bench: "Bench") -> None:
    bench.code = Unavailable("git", "fetching failed: repository not found", hint="Check the clone URL.")
    outcome = await bench.execute()
    history = await bench.history()

    assert (outcome.conclusion, outcome.error) == (Conclusion.ERROR, "git")
    assert outcome.headline == "fetching failed: repository not found"
    assert outcome.details == {"hint": "Check the clone URL.", "transient": False}
    assert history.task is not None
    assert history.task.error_message == "fetching failed: repository not found"
    assert history.log == "fetching failed: repository not found\n"
    assert await bench.counts() == (1, 0, 1)


async def test_a_command_that_takes_too_long_is_stopped(bench: "Bench") -> None:
    bench.use_shell("echo begun; sleep 60", wall_seconds=0.5)
    outcome = await bench.execute()

    assert outcome.conclusion is Conclusion.FAILURE
    assert outcome.duration_seconds < 20
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.TIMEOUT
    assert outcome.details["ended"] == "timed_out"
    assert "0.5 s" in outcome.details["summary"]
    assert (await bench.history()).log.startswith("begun\n")


async def test_too_much_output_is_cut_and_counted(bench: "Bench") -> None:
    bench.use_shell("yes line | head -c 50000; echo the end", output_bytes=4_000)
    outcome = await bench.execute()
    log = (await bench.history()).log

    assert (outcome.truncated, outcome.output_bytes) == (True, 50_008)
    assert len(log) < 6_000
    assert log.endswith("the end\n")


async def test_whatever_a_command_prints_can_be_stored_and_read_again(bench: "Bench") -> None:
    bench.use_shell(r"printf 'ERROR: \000 \377\355\240\200 \033[31mred\n'; exit 1")
    outcome = await bench.execute()

    assert await bench.execute() == outcome
    assert "\0" not in (await bench.history()).log


async def test_the_log_can_be_read_while_the_command_runs(bench: "Bench") -> None:
    bench.use_shell("echo halfway; while [ ! -e go ]; do sleep 0.05; done; echo done")
    running = asyncio.create_task(bench.execute())
    await bench.until_heard("halfway")
    async with asyncio.timeout(30):
        while (await bench.history()).log != "halfway\n":  # noqa: ASYNC110 - the command writes it
            await asyncio.sleep(0.02)
    (workspace,) = bench.checkouts.iterdir()
    (workspace / "code/go").touch()
    await running

    assert (await bench.history()).log == "halfway\ndone\n"
    async with bench.worker.database.reading() as session:
        assert (await session.execute(select(func.count()).select_from(TaskLogChunkModel))).scalar_one() == 0


async def test_the_task_of_a_worker_that_died_is_executed_again_by_another(
    bench: "Bench", open_worker: "OpenWorker"
) -> None:
    bench.use_shell("echo begun; sleep 60")
    running = asyncio.create_task(bench.execute())
    await bench.until_heard("begun")
    running.cancel()
    await asyncio.wait([running])

    bench.use("true")
    async with open_worker() as other:
        await other.change_event(bench.run.event_id, lease_expires_at=utc_now())
        (continued,) = await claim_events(other.runtime, limit=1)
        outcome = await bench.execute(worker=other, run=continued)
    dead, alive = (await bench.history()).executions

    assert outcome.succeeded
    assert (dead.execution_number, dead.status) == (1, TaskStatus.CANCELLED)
    assert dead.error_details == {"code": "abandoned", "message": "the worker that ran it went away"}
    assert (alive.execution_number, alive.status) == (2, TaskStatus.COMPLETED)
    assert dead.task_id == alive.task_id == outcome.task_id
    assert await bench.counts() == (1, 1, 0)


async def test_the_events_of_the_task_name_the_run(bench: "Bench") -> None:
    bench.use_shell("exit 3")
    outcome = await bench.execute()
    created, failed = await told(bench)

    assert (created.event_type, failed.event_type) == ("task_created", "task_failed")
    for event in (created, failed):
        assert event.payload["run_id"] == str(bench.run.run_id)
        assert event.payload["task_id"] == str(outcome.task_id)
    assert failed.payload["task_data"]["result"]["exit_code"] == 3


async def test_a_task_that_is_cancelled_while_its_command_runs_stays_cancelled(bench: "Bench") -> None:
    bench.use_shell("echo begun; while [ ! -e go ]; do sleep 0.05; done")
    running = asyncio.create_task(bench.execute())
    await bench.until_heard("begun")
    await cancel_task(bench)
    (workspace,) = bench.checkouts.iterdir()
    (workspace / "code/go").touch()
    outcome = await running
    history = await bench.history()

    assert outcome.succeeded
    assert history.task is not None
    assert history.task.status is TaskStatus.CANCELLED
    assert history.executions[0].status is TaskStatus.COMPLETED
    assert await bench.counts() == (1, 0, 0)
    assert [event.event_type for event in await told(bench)] == ["task_created", "task_updated"]


async def test_a_task_that_was_cancelled_while_no_worker_had_it_is_not_executed_again(bench: "Bench") -> None:
    bench.use_shell("echo begun; sleep 60")
    running = asyncio.create_task(bench.execute())
    await bench.until_heard("begun")
    running.cancel()
    await asyncio.wait([running])
    await cancel_task(bench)
    outcome = await bench.execute()
    history = await bench.history()

    assert (outcome.conclusion, outcome.error) == (Conclusion.ERROR, "task_cancelled")
    assert outcome.headline == f"task {outcome.task_id} has become cancelled meanwhile"
    assert "".join(bench.heard) == "begun\n"
    assert history.task is not None
    assert history.task.status is TaskStatus.CANCELLED
    assert [execution.status for execution in history.executions] == [TaskStatus.CANCELLED, TaskStatus.FAILED]


async def test_a_command_is_ended_when_its_task_is_cancelled(bench: "Bench") -> None:
    bench.use_shell("echo begun; sleep 60")
    running = asyncio.create_task(bench.execute())
    await bench.until_heard("begun")
    await cancel_task(bench)
    outcome = await running
    history = await bench.history()

    assert (outcome.conclusion, outcome.error) == (Conclusion.ERROR, "cancelled")
    assert not any(bench.checkouts.iterdir())
    assert [execution.status for execution in history.executions] == [TaskStatus.CANCELLED]


async def test_no_more_commands_run_at_once_than_allowed_and_who_waits_takes_up_no_disk(bench: "Bench") -> None:
    runtime = bench.worker.runtime
    async with AsyncExitStack() as taken:
        for _ in range(runtime.settings.max_concurrent_commands):
            await taken.enter_async_context(runtime.seats.taken("agent", on_checkout=True))
        bench.use_shell("echo begun")
        running = asyncio.create_task(bench.execute())
        async with asyncio.timeout(30):
            while not (await bench.history()).executions:  # noqa: ASYNC110 - it is stored
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        assert bench.heard == []
        assert not any(bench.checkouts.glob("*"))

    assert (await running).succeeded
    assert "".join(bench.heard) == "begun\n"


async def told(bench: "Bench") -> Sequence[EventModel]:
    """Return the events that the system has told of tasks, in order."""
    async with bench.worker.database.reading() as session:
        statement = select(EventModel).where(
            EventModel.provider == EventProvider.SYSTEM, EventModel.event_type.startswith("task_")
        )
        return (await session.execute(statement.order_by(EventModel.created_at))).scalars().all()


async def cancel_task(bench: "Bench") -> None:
    task = (await bench.history()).task
    assert task is not None
    async with bench.worker.database.transaction() as session:
        await update_task(session, task.id, TaskUpdate(status=TaskStatus.CANCELLED))
