"""Render templates: in a process of their own, which can do nothing else, under limits."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import jinja2
import markupsafe
import psutil

from contexten_core.errors import ExecutionError, UnavailableError
from contexten_core.prompts.templates.check import check_template, includes_in, names_in
from contexten_core.prompts.templates.child import LARGEST_MESSAGE, LENGTH
from contexten_core.prompts.templates.language import RESERVED, Problem, has_tags
from contexten_core.prompts.templates.source import RenderLimits, TemplateError, TemplateSource

__all__ = [
    "Problem",
    "RenderLimits",
    "Renderer",
    "TemplateError",
    "TemplateSource",
    "check_template",
    "includes_in",
    "names_in",
]

LARGEST_VALUES = 1_000_000
"""Bytes of all values of one rendering, as JSON."""

_START_SECONDS = 30.0
_END_SECONDS = 5.0
_LONGEST_WAIT = 30
_CPU_SHARE = 0.5
_CPU_SHARE_AT_MOST = 0.75
_LOOKS = 4
_START = "import sys; sys.path += sys.argv[1:]; from contexten_core.prompts.templates.child import serve; serve()"
_PATHS = dict.fromkeys(
    str(Path(file).parents[up]) for file, up in ((__file__, 3), (jinja2.__file__, 1), (markupsafe.__file__, 1))
)
_GONE = (EOFError, ConnectionError, psutil.NoSuchProcess)


class Renderer:
    """Renders one template after the other, with at most one child process, which is started when first needed.

    An async context manager, for use in one event loop; leaving the block ends the child.

    Attributes:
        peak_bytes: the most memory that any of its children was seen to hold (Linux only).
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._child: _Child | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._lock:
            self._end()

    @property
    def process_id(self) -> int | None:
        """The id of the child, while there is one."""
        return self._child.process.pid if self._child else None

    async def render(
        self, source: TemplateSource, values: Mapping[str, Any], *, limits: RenderLimits | None = None
    ) -> str:
        """Return a template's text with values in it. A text without tags is returned as it is.

        Args:
            values: by name, of the kinds that JSON has; whatever is in them is data.

        Raises:
            TemplateError: the template, one that it includes or a value is not as it has to be, or more than the
                limits allow.
            ExecutionError: the child cannot be started.
            UnavailableError: the machine is too busy to render anything; transient.
        """
        limits = limits or RenderLimits()
        if not has_tags(source.text):
            if len(source.text) > limits.characters:
                raise TemplateError(f"longer than {limits.characters:,} characters", template=source.name)
            return source.text
        request = _request(source, values, limits)
        async with self._lock:
            answer = await self._ask(request, source, limits)
            self.peak_bytes = max(self.peak_bytes, answer.get("peak_bytes") or 0)
        text = answer.get("text")
        if isinstance(text, str):
            return text
        raise TemplateError(
            answer["message"],
            template=answer.get("template") or source.name,
            line=answer.get("line"),
            column=answer.get("column"),
        )

    async def _ask(self, request: bytes, source: TemplateSource, limits: RenderLimits) -> dict[str, Any]:
        if self._child is not None and not self._child.is_alive:
            self._end()
        is_used = self._child is not None
        child = self._child = self._child or await _Child.start()
        answer: dict[str, Any] | None = None
        try:
            answer = await _in_time(child, request, limits)
        except _GONE:
            raise TemplateError("its rendering ended unexpectedly", template=source.name) from None
        except TimeoutError:
            raise TemplateError(f"takes more than {limits.seconds:g} s", template=source.name) from None
        finally:
            # Whatever else is still on its way from there would be taken for the answer to the next request.
            if answer is None or answer.get("spent"):
                self._end()
        if answer.get("spent") == "memory" and is_used:
            # Perhaps only what those before it left behind.
            return await self._ask(request, source, limits)
        return answer

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


async def _in_time(child: "_Child", request: bytes, limits: RenderLimits) -> dict[str, Any]:
    """Return the answer to a request.

    Raises:
        TimeoutError: there was none in time, though the child had its share of processor time.
        UnavailableError: there was none for long, because it had not.
    """
    asking = asyncio.ensure_future(child.ask(request))
    started, used, pause = time.monotonic(), child.cpu_seconds, limits.seconds
    try:
        while True:
            await asyncio.wait([asking], timeout=pause)
            if asking.done():
                return asking.result()
            waited = time.monotonic() - started
            # It ends a rendering itself, with the line, when its share is used up; this is for when it does not.
            if child.cpu_seconds - used >= limits.seconds * _CPU_SHARE_AT_MOST:
                raise TimeoutError
            if waited > limits.seconds * _LONGEST_WAIT:
                raise UnavailableError(
                    "the process that renders templates gets no processor time",
                    hint="the machine does too much at once",
                    transient=True,
                )
            pause = limits.seconds / _LOOKS
    finally:
        asking.cancel()


def _request(source: TemplateSource, values: Mapping[str, Any], limits: RenderLimits) -> bytes:
    for name in values:
        if name in RESERVED or name.startswith("_"):
            raise TemplateError(f"no variable can be called {name}", template=source.name)
    try:
        data = json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError) as error:
        problem = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise TemplateError(f"its values are none of JSON: {problem}"[:500], template=source.name) from None
    if len(data) > LARGEST_VALUES:
        message = f"its values are {len(data):,} bytes of JSON; at most {LARGEST_VALUES:,} are taken"
        raise TemplateError(message, template=source.name)
    rest = {
        "name": source.name,
        "text": source.text,
        "includes": dict(source.includes),
        "seconds": limits.seconds,
        "cpu_seconds": limits.seconds * _CPU_SHARE,
        "characters": limits.characters,
    }
    whole = json.dumps(rest, ensure_ascii=False).encode("utf-8", "surrogatepass")[:-1] + b', "values": ' + data + b"}"
    if len(whole) > LARGEST_MESSAGE:
        raise TemplateError("it and what it includes are too large", template=source.name)
    return LENGTH.pack(len(whole)) + whole


class _Child:
    """One process that renders, on the other end of a socket.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        try:
            self.process = _spawn(theirs.fileno())
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self._measured = psutil.Process(self.process.pid)

    @classmethod
    async def start(cls) -> Self:
        """Start a child and wait until it is ready.

        Raises:
            ExecutionError: that cannot be done.
        """
        try:
            child = cls()
        except OSError as error:
            raise _not_started(str(error)) from error
        try:
            async with asyncio.timeout(_START_SECONDS):
                child._reader, child._writer = await asyncio.open_connection(sock=child._socket)
                await child._answer()
        except (*_GONE, TimeoutError) as error:
            child.end()
            raise _not_started(str(error) or "it does not answer") from error
        except BaseException:
            child.end()
            raise
        return child

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def cpu_seconds(self) -> float:
        times = self._measured.cpu_times()
        return float(times.user + times.system)

    async def ask(self, request: bytes) -> dict[str, Any]:
        assert self._writer is not None
        self._writer.write(request)
        await self._writer.drain()
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self._reader is not None
        (size,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
        if size > LARGEST_MESSAGE:
            raise EOFError
        answer: dict[str, Any] = json.loads((await self._reader.readexactly(size)).decode("utf-8", "surrogatepass"))
        return answer

    def end(self) -> None:
        (self._writer or self._socket).close()
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(_END_SECONDS)


def _spawn(descriptor: int) -> "subprocess.Popen[bytes]":
    nothing: dict[str, str] = {}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _START, *_PATHS],
        stdin=descriptor,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=nothing,
        start_new_session=True,
    )


def _not_started(reason: str) -> ExecutionError:
    return ExecutionError(
        f"the process that renders templates cannot be started: {reason}",
        hint="`contexten doctor` looks closer",
        transient=True,
    )
