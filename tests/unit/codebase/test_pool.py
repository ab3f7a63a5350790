"""Files analysed in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from contexten_core.codebase.facts import FileFacts
from contexten_core.codebase.pool import AnalysisPool, Item, analyse_here
from contexten_core.codebase.record import CRASHED, Form, read_record


def items(count: int) -> list[Item]:
    return [
        Item((f"{number:040x}", "Python/python"), f"{number}.py", f"def f{number}():\n    pass\n".encode())
        for number in range(count)
    ]


@pytest.fixture
def pool() -> Iterator[AnalysisPool]:
    with AnalysisPool(workers=1, file_seconds=0.2, batch_seconds=0) as pool:
        pool.file_seconds = 60.0
        assert len(list(pool.analyse(items(1)))) == 1
        yield pool


def test_workers_find_what_this_process_finds() -> None:
    with AnalysisPool(workers=2) as pool:
        found = dict(pool.analyse(items(100)))
    assert found == dict(analyse_here(items(100)))


def test_workers_may_be_copies_of_this_process() -> None:
    with AnalysisPool(workers=2, form=Form.BRIEF, may_copy=True) as pool:
        found = dict(pool.analyse(items(100)))
    assert found == dict(analyse_here(items(100), Form.BRIEF))


def test_nothing_to_do_is_done() -> None:
    with AnalysisPool(workers=1) as pool:
        assert list(pool.analyse([])) == []


def test_the_file_that_ends_its_worker_is_left_out_with_a_note(pool: AnalysisPool) -> None:
    (worker,) = pool.processes
    os.kill(worker, signal.SIGKILL)

    ((key, packed),) = pool.analyse(items(1))

    facts = FileFacts.unpack(packed, path="0.py")
    assert (key, facts.language, facts.note) == (items(1)[0].key, "Python", CRASHED)
    assert read_record(packed).figures[-1] == CRASHED


def test_files_that_were_with_it_are_analysed_all_the_same(pool: AnalysisPool) -> None:
    os.kill(pool.processes[0], signal.SIGKILL)
    assert dict(pool.analyse(items(3))) == dict(analyse_here(items(3)))


def test_a_worker_that_does_not_answer_is_ended(pool: AnalysisPool) -> None:
    os.kill(pool.processes[0], signal.SIGSTOP)
    pool.file_seconds = 0.0

    ((_, packed),) = pool.analyse(items(1))

    assert FileFacts.unpack(packed, path="0.py").note == CRASHED


def test_workers_end_with_the_process_that_started_them() -> None:
    program = """
import os, signal
from contexten_core.codebase.pool import AnalysisPool, Item
pool = AnalysisPool(workers=1)
list(pool.analyse([Item(("0", ""), "a.py", b"x = 1")]))
print(*pool.processes, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=60, check=False)
    worker = int(done.stdout)
    for _ in range(500):
        if not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.01)
    raise AssertionError(f"worker {worker} is still there")
