"""How much one worker process carries out at once: commands share the cores, and each executor may have a limit."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

_STEPS_TOGETHER = 2
# What they write before and after goes together with that of others, for which each waits three times.
_BEGUN_PER_SEAT = 32


class Seats:
    """Seats for what is carried out; who finds none waits until one is free, in the order of coming.

    Attributes:
        soon: for those of many that may begin, because they will find a seat for a checkout soon.
        together: for the steps that many runs do together; those hold locks, and the fewer share the processor the
            sooner each is over.

    Args:
        commands: how many assignments that work on a checkout run at once, whichever executor they have.
        per_executor: how many of one executor run at once, by its name; as many as like where it is not named.
    """

    def __init__(self, *, commands: int, per_executor: Mapping[str, int]) -> None:
        # While one waits for the database, the other has the processor.
        self.together = asyncio.Semaphore(_STEPS_TOGETHER)
        self.soon = asyncio.Semaphore(_BEGUN_PER_SEAT * commands)
        self._commands = asyncio.Semaphore(commands)
        self._of = {name: asyncio.Semaphore(most) for name, most in per_executor.items()}

    @asynccontextmanager
    async def taken(self, executor: str, *, on_checkout: bool) -> AsyncIterator[None]:
        """Wait for the seats that an assignment of this executor needs, and keep them for the block."""
        async with AsyncExitStack() as seats:
            # The scarcer one first: who waits for it keeps no core from others.
            if (own := self._of.get(executor)) is not None:
                await seats.enter_async_context(own)
            if on_checkout:
                await seats.enter_async_context(self._commands)
            yield
