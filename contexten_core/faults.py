"""Places where a process may die or a connection break: before and after every commit and every call to the outside.

In service nothing happens there. Tests install a plan, which is asked at each of them, and may wait, raise, or never
return: so they show that the state ends the same wherever a worker breaks off.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

Plan = Callable[[str], Coroutine[Any, Any, None]]


class _Installed:
    plan: Plan | None = None


def install(plan: Plan | None) -> None:
    """Have a plan asked at every fault point of this process; None takes it away."""
    _Installed.plan = plan


async def fault_point(name: str) -> None:
    """Pass a place where this process may break off."""
    if _Installed.plan is not None:
        await _Installed.plan(name)


@asynccontextmanager
async def outside(name: str) -> AsyncIterator[None]:
    """Pass one place before a call to the outside, and one after it has succeeded."""
    await fault_point(f"before {name}")
    yield
    await fault_point(f"after {name}")


@contextmanager
def outside_of_loop(name: str) -> Iterator[None]:
    """As `outside`, where a thread of its own makes the call."""
    _pass_in_thread(f"before {name}")
    yield
    _pass_in_thread(f"after {name}")


def _pass_in_thread(name: str) -> None:
    if _Installed.plan is not None:
        asyncio.run(_Installed.plan(name))
