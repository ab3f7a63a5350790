"""The supervisor's end of a pipe that a child writes to."""

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack


class PipeReader(asyncio.Protocol):
    """Reads a pipe on the event loop. Make one with `PipeReader.open`."""

    def __init__(self, receive: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self._receive = receive
        self._ended = ended
        self._transport: asyncio.BaseTransport | None = None
        self._closed = asyncio.Event()

    @classmethod
    async def open(
        cls, *, receive: Callable[[bytes], None], ended: Callable[[], None] = lambda: None
    ) -> tuple["PipeReader", int]:
        """Make a pipe and start reading it.

        Args:
            receive: called with whatever arrives.
            ended: called when the last writer has closed the pipe, or the reader was closed.

        Returns:
            The reader, and the descriptor to write to, which the caller hands on and closes.
        """
        with ExitStack() as undo:
            read_end, write_end = os.pipe()
            undo.callback(os.close, write_end)
            _, reader = await asyncio.get_running_loop().connect_read_pipe(
                lambda: cls(receive, ended), os.fdopen(read_end, "rb", buffering=0)
            )
            undo.pop_all()
        return reader, write_end

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def drain(self, *, within: float) -> None:
        """Take what is still in the pipe, then close it; a stray writer is not waited for beyond `within` seconds."""
        try:
            await asyncio.wait_for(self._closed.wait(), timeout=within)
        except TimeoutError:
            self.close()
            await self._closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._receive(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol
        self._closed.set()
        self._ended()
