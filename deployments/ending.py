"""Ending processes in bounded time, with nothing left of what they started."""

import asyncio
from collections.abc import Iterable, Sequence
from signal import Signals
from typing import Final

from deployments.process_table import ProcessId, kill

_POLL_SECONDS: Final = 0.02
_KILL_SECONDS: Final = 1.0


async def end(leader: ProcessId, *, signals: Sequence[Signals], patience: float, within: float) -> frozenset[ProcessId]:
    """End a process and all that belongs to it.

    The signals go to the process alone, which knows best how to end its own; what is left after them is killed.
    When this is cancelled, everything is killed at once.

    Args:
        leader: the process; it may have ended already, then only its leftovers are ended.
        signals: sent one after the other, as long as the process goes on.
        patience: seconds to wait after each signal.
        within: seconds for all of it; up to one more passes when even a kill takes time.

    Returns:
        What survived even that, such as a process stuck in a system call: nothing, almost always.
    """
    deadline = asyncio.get_running_loop().time() + within
    family = leader.family()
    try:
        for number in signals:
            if not leader.is_running():
                break
            leader.send(number)
            await wait_until_gone({leader}, until=min(asyncio.get_running_loop().time() + patience, deadline))
            family |= leader.family()
    finally:
        kill({leader, *family, *leader.family()})
    killed_by = asyncio.get_running_loop().time() + _KILL_SECONDS
    while alive := _alive({leader, *family, *leader.family()}):
        if asyncio.get_running_loop().time() > killed_by:
            return alive
        kill(alive)
        await asyncio.sleep(_POLL_SECONDS)
    return frozenset()


async def wait_until_gone(processes: Iterable[ProcessId], *, until: float) -> frozenset[ProcessId]:
    """Wait until processes have ended, or until a time of the event loop's clock; return those that go on."""
    loop = asyncio.get_running_loop()
    while (alive := _alive(processes)) and loop.time() < until:  # noqa: ASYNC110 - not our child, so nobody tells
        await asyncio.sleep(_POLL_SECONDS)
    return alive


def _alive(processes: Iterable[ProcessId]) -> frozenset[ProcessId]:
    return frozenset(process for process in processes if process.is_running())
