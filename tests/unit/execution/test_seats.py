import asyncio
from collections import Counter

from contexten_core.execution.seats import Seats

PATIENCE_SECONDS = 10.0


class Waiting:
    """Assignments that stay in their seats until they are told to leave."""

    def __init__(self, seats: Seats) -> None:
        self.seated: Counter[str] = Counter()
        self._seats = seats
        self._leave = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self, executor: str, number: int, *, on_checkout: bool) -> None:
        for _ in range(number):
            self._tasks.append(asyncio.create_task(self._sit(executor, on_checkout=on_checkout)))
        for _ in range(10):
            await asyncio.sleep(0)

    async def leave(self) -> None:
        self._leave.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*self._tasks)

    async def _sit(self, executor: str, *, on_checkout: bool) -> None:
        async with self._seats.taken(executor, on_checkout=on_checkout):
            self.seated[executor] += 1
            await self._leave.wait()


async def test_an_executor_has_no_more_seats_than_it_may() -> None:
    waiting = Waiting(Seats(commands=8, per_executor={"llm": 2}))

    await waiting.come("llm", 5, on_checkout=False)
    await waiting.come("http", 5, on_checkout=False)
    assert waiting.seated == {"llm": 2, "http": 5}

    await waiting.leave()
    assert waiting.seated == {"llm": 5, "http": 5}, "who waited has come to its turn"


async def test_what_works_on_a_checkout_shares_the_cores() -> None:
    waiting = Waiting(Seats(commands=3, per_executor={"agent": 1}))

    await waiting.come("agent", 4, on_checkout=True)
    await waiting.come("command", 5, on_checkout=True)
    assert waiting.seated == {"agent": 1, "command": 2}, "who waits for an agent's seat keeps no core from others"

    await waiting.leave()
    assert waiting.seated == {"agent": 4, "command": 5}
