"""Pure functions that take long, called in another process, so that the event loop and its thousand runs go on.

A thread would not do: it would hold the interpreter's lock for as long. Processes are started anew, never forked from
one that has threads, and replaced after a while, so that what leaks is given back.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from multiprocessing import get_context
from typing import TypeVar, TypeVarTuple

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_MOST_PROCESSES = 2
_CALLS_PER_PROCESS = 200
_PR_SET_PDEATHSIG = 1


class _Current:
    pool: ProcessPoolExecutor | None = None


@asynccontextmanager
async def offloading() -> AsyncIterator[None]:
    """Give this process, until the block ends, others for long calls; they are started when they are needed."""
    _Current.pool = _make_pool()
    try:
        yield
    finally:
        pool, _Current.pool = _Current.pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)


async def offload(function: Callable[[*Ts], R], /, *arguments: *Ts) -> R:
    """Call a function of a module in another process; without one, or when that one dies, in a thread.

    It must be pure: it may be called twice. Arguments, result and errors are pickled.
    """
    pool = _Current.pool
    if pool is None:
        return await asyncio.to_thread(function, *arguments)
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
    except BrokenProcessPool:
        if _Current.pool is pool:
            _Current.pool = _make_pool()
            pool.shutdown(wait=False)
        return await asyncio.to_thread(function, *arguments)


def _make_pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        max_workers=min(os.cpu_count() or 1, _MOST_PROCESSES),
        mp_context=get_context("spawn"),
        max_tasks_per_child=_CALLS_PER_PROCESS,
        initializer=_begin,
        initargs=(os.getpid(),),
    )


def _begin(parent: int) -> None:
    """End with the parent, and leave what signals mean to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)
