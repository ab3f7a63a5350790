"""What a connection is held to before the application sees a request of it.

uvicorn waits for ever for the head of a request, reads what RFC 9112 forbids, and turns senders away while others hold
its connections without using them. Here a head comes within its time or the connection ends, a request that two servers
could read in two ways is refused, and whoever only holds a connection gives way to whoever sends.
"""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

MOST_HEAD_BYTES = 16 * 1024
RETRY_AFTER_SECONDS = 5

_LEAVE_SECONDS = 2.0
_DRAIN_SECONDS = 5.0
_STALL_SECONDS = 30.0
_END_OF_HEAD = b"\r\n\r\n"
_NO_LINE = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|\0")
_FOLDED = re.compile(rb"\r\n[ \t]")
_VERSIONS = frozenset({b"1.0", b"1.1"})


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request is not read, as its sender is told."""

    status: HTTPStatus
    message: str


class Phase(Enum):
    """What a connection is doing."""

    LEAVING = auto()
    """It was told why it is not served, and may read that."""
    DRAINING = auto()
    """Its request is answered, but has not ended."""
    HEAD = auto()
    """It has still to send the head of a request."""
    IDLE = auto()
    """It has been answered, and may send another request."""
    BODY = auto()
    """It has still to send the body of a request."""
    ANSWERING = auto()
    """It has sent a request, and waits for us, or takes the last answer."""


# Who gives way, in this order, and after how many seconds of doing nothing else: what has only just come may be a
# whole request that nobody has looked at yet.
_GIVING_WAY = {Phase.DRAINING: 0.25, Phase.HEAD: 0.25, Phase.IDLE: 0.25, Phase.BODY: 5.0}


class Lobby:
    """The connections of one server: `most` that are served, and an eighth of that on top that are told why not."""

    def __init__(self, *, most: int, header_seconds: float) -> None:
        self.most = most
        self.most_leaving = max(16, most // 8)
        self.header_seconds = header_seconds
        self._since: dict[Phase, dict[GuardedProtocol, float]] = {phase: {} for phase in Phase}

    def __len__(self) -> int:
        return sum(map(len, self._since.values()))

    def count(self, phase: Phase) -> int:
        return len(self._since[phase])

    def connections(self, phase: Phase) -> "list[GuardedProtocol]":
        """Return those in a phase, the one that came to it first before the others."""
        return list(self._since[phase])

    def make_room(self, *, now: float) -> bool:
        """Tell whether one more connection can be served, and end the one that gives way to it if need be."""
        if len(self) - self.count(Phase.LEAVING) < self.most:
            return True
        for phase, seconds in _GIVING_WAY.items():
            oldest = next(iter(self._since[phase].items()), None)
            if oldest is not None and now - oldest[1] >= seconds:
                self._end(oldest[0], phase)
                return True
        return False

    def enter(self, connection: "GuardedProtocol", phase: Phase, *, now: float) -> None:
        self._since[phase][connection] = now
        if phase is Phase.LEAVING and self.count(phase) > self.most_leaving:
            self._end(next(iter(self._since[phase])), phase)

    def leave(self, connection: "GuardedProtocol", phase: Phase) -> None:
        self._since[phase].pop(connection, None)

    def _end(self, connection: "GuardedProtocol", phase: Phase) -> None:
        self.leave(connection, phase)
        connection.transport.abort()


class GuardedProtocol(H11Protocol):
    """One connection. `lobby` is the same for all of a server."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        lobby: Lobby,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: _StrictConnection = _StrictConnection(h11.SERVER, MOST_HEAD_BYTES)
        self._lobby = lobby
        self._phase = Phase.HEAD
        self._is_lost = False
        self._deadline: asyncio.TimerHandle | None = None
        self._reader_watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._lobby.make_room(now=self.loop.time()):
            self._enter(Phase.HEAD)
        else:
            self._refuse(_TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._lobby.leave(self, self._phase)
        self._within(None)
        self._forget_reader()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # What follows a request that said `Connection: close` is no request.
        if self._phase is not Phase.LEAVING and self.conn.their_state is not h11.MUST_CLOSE:
            super().data_received(data)
            self._settle()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._settle()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self.conn.fault or Fault(HTTPStatus.BAD_REQUEST, msg))

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._settle()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._forget_reader()

    def shutdown(self) -> None:
        if self._phase is Phase.LEAVING:
            self.transport.close()
        else:
            super().shutdown()

    def has_deadline(self) -> bool:
        """Tell whether the connection ends by itself when nothing more comes."""
        return self._deadline is not None

    def _settle(self) -> None:
        """Find out what the connection is doing now, and give it the time for that."""
        if self._is_lost:
            return
        if self.transport.is_closing() and self._reader_watch is None:
            self._watch_reader()
        phase = self._found()
        if phase is not self._phase:
            self._enter(phase)

    def _enter(self, phase: Phase) -> None:
        self._lobby.leave(self, self._phase)
        self._lobby.enter(self, phase, now=self.loop.time())
        self._phase = phase
        if phase is Phase.HEAD:
            self._within(self._lobby.header_seconds, self._head_is_late)
        elif phase is Phase.DRAINING:
            self._within(_DRAIN_SECONDS, self.transport.abort)
        elif phase is Phase.LEAVING:
            self._within(_LEAVE_SECONDS, self.transport.abort)
        else:
            self._within(None)

    def _found(self) -> Phase:
        if self._phase is Phase.LEAVING:
            return Phase.LEAVING
        if self.transport.is_closing():
            return Phase.ANSWERING
        theirs = self.conn.their_state
        if theirs is h11.IDLE:
            is_first = self.cycle is None
            return Phase.HEAD if is_first or self.conn.trailing_data[0] else Phase.IDLE
        if theirs is h11.SEND_BODY:
            return Phase.DRAINING if self.cycle.response_complete else Phase.BODY
        return Phase.ANSWERING

    def _head_is_late(self) -> None:
        if self.conn.trailing_data[0]:
            self._refuse(_LATE)
        else:
            self.transport.close()
            self._settle()

    def _refuse(self, fault: Fault) -> None:
        """Say why the connection ends, unless an answer is under way, and end it once that can have been read."""
        cycle = self.cycle
        is_answering = cycle is not None and not cycle.response_complete
        if is_answering:
            cycle.disconnected = True
            cycle.message_event.set()
        self._unset_keepalive_if_required()
        if is_answering and cycle.response_started:
            self.transport.close()
        else:
            self.transport.write(_answer(fault))
            if self.transport.can_write_eof():
                self.transport.write_eof()
            # What it goes on to send is thrown away: unread, it would make the kernel take the answer back.
            self.flow.resume_reading()
        self._enter(Phase.LEAVING)

    def _watch_reader(self, *, left: int | None = None) -> None:
        """End the connection when nothing that we wrote has been taken for a while."""
        self._forget_reader()
        now_left = self.transport.get_write_buffer_size()
        if now_left == left:
            self.transport.abort()
        else:
            self._reader_watch = self.loop.call_later(_STALL_SECONDS, partial(self._watch_reader, left=now_left))

    def _forget_reader(self) -> None:
        if self._reader_watch is not None:
            self._reader_watch.cancel()
            self._reader_watch = None

    def _within(self, seconds: float | None, otherwise: Callable[[], None] | None = None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None
        if seconds is not None and otherwise is not None:
            self._deadline = self.loop.call_later(seconds, otherwise)


def guarded(*, most: int, header_seconds: float) -> partial[GuardedProtocol]:
    """Return what uvicorn takes as `http`, for one server.

    Args:
        most: connections that are open at once.
        header_seconds: how long the head of a request may take, from its first byte; the first one's from connecting.
    """
    return partial(GuardedProtocol, lobby=Lobby(most=most, header_seconds=header_seconds))


def fault_of_head(data: bytes) -> Fault | None:
    """Return what is wrong with the lines of a head, as far as it has come. What follows it is not looked at."""
    end = data.find(_END_OF_HEAD)
    head = data if end < 0 else data[:end]
    if len(head) > MOST_HEAD_BYTES:
        return _TOO_LARGE
    if _NO_LINE.search(head):
        return Fault(HTTPStatus.BAD_REQUEST, "the head has a line that does not end in CRLF")
    if _FOLDED.search(head):
        return Fault(HTTPStatus.BAD_REQUEST, "the head has a header that goes on in the next line")
    return None


def fault_of_framing(request: h11.Request) -> Fault | None:
    """Return why two servers could disagree about where a request ends, or what follows it."""
    names = [name for name, _ in request.headers]
    if request.http_version not in _VERSIONS:
        return Fault(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    if request.method == b"CONNECT":
        return Fault(HTTPStatus.NOT_IMPLEMENTED, "this is no proxy")
    if b"transfer-encoding" in names:
        if b"content-length" in names:
            return Fault(HTTPStatus.BAD_REQUEST, "the request has both Content-Length and Transfer-Encoding")
        if request.http_version == b"1.0":
            return Fault(HTTPStatus.BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding")
    return None


class _StrictConnection(h11.Connection):
    """Refuses what h11 itself would read.

    Attributes:
        fault: what was wrong, once something was.
    """

    fault: Fault | None = None

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        if self.their_state is h11.IDLE:
            self._check(fault_of_head(self.trailing_data[0]))
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.fault = self.fault or _FAULTS.get(error.error_status_hint, _NOT_HTTP)
            raise
        if isinstance(event, h11.Request):
            self._check(fault_of_framing(event))
        return event

    def _check(self, fault: Fault | None) -> None:
        if fault is not None:
            self.fault = fault
            raise h11.RemoteProtocolError(fault.message, error_status_hint=fault.status)


def _answer(fault: Fault) -> bytes:
    problem = {
        "code": fault.status.name.lower(),
        "message": fault.message,
        "hint": None,
        "request_id": "-",
        "detail": fault.message,
    }
    body = json.dumps(problem).encode()
    again = f"Retry-After: {RETRY_AFTER_SECONDS}\r\n" if fault.status is HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {fault.status.value} {fault.status.phrase}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{again}Connection: close\r\n\r\n"
    )
    return head.encode() + body


_NOT_HTTP = Fault(HTTPStatus.BAD_REQUEST, "this is not HTTP/1.1 as RFC 9112 has it")
_TOO_LARGE = Fault(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head of the request is larger than {MOST_HEAD_BYTES} bytes"
)
_LATE = Fault(HTTPStatus.REQUEST_TIMEOUT, "the head of the request did not come in time")
_TOO_MANY = Fault(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are open; WEBHOOK_CONNECTIONS is the limit")
_FAULTS = {
    431: _TOO_LARGE,
    501: Fault(HTTPStatus.NOT_IMPLEMENTED, "the only Transfer-Encoding that is read is chunked"),
}
