"""Taking over a home whose last supervisor was killed: its children that go on without it are ended."""

import asyncio
import os
from typing import Final

from contexten_core.errors import StackError
from deployments.ending import end
from deployments.home import Home
from deployments.state import RunningChild

_WITHIN_SECONDS: Final = 10.0
_SHORTEST_PATIENCE: Final = 1.0


async def end_orphans(home: Home) -> tuple[RunningChild, ...]:
    """End what a killed supervisor left running, the last started first, and clear its state file.

    Call it while holding the lock of the home. A process counts as left over only when pid and birth mark are those
    that the state file remembers; processes that such a child started go with it. Takes up to 10 s, more only for a
    process that resists being killed.

    Returns:
        The children of which something had to be ended.

    Raises:
        StackError: the recorded supervisor still runs, or something cannot be ended.
    """
    state = home.read_state()
    if state is None:
        return ()
    if state.supervisor.is_running() and state.supervisor.pid != os.getpid():
        raise StackError(
            f"The supervisor of {home.root} (pid {state.supervisor.pid}) still runs, although its lock is gone",
            hint=f"Its lock file was removed by hand. End it first: kill {state.supervisor.pid}",
        )
    deadline = asyncio.get_running_loop().time() + _WITHIN_SECONDS
    ended: list[RunningChild] = []
    for child in reversed(state.children):
        if not child.process.is_running() and not child.process.family():
            continue
        left = max(deadline - asyncio.get_running_loop().time(), _SHORTEST_PATIENCE)
        survivors = await end(child.process, signals=child.stop_signals, patience=child.patience, within=left)
        if survivors:
            pids = ", ".join(str(process.pid) for process in survivors)
            raise StackError(
                f"{child.name} was left running by a killed supervisor and cannot be ended (pid {pids})",
                hint="It is probably stuck in a system call; wait for it, or restart the machine.",
                transient=True,
            )
        ended.append(child)
    home.clear_state()
    return tuple(ended)
