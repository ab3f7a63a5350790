"""What a command prints, kept within a limit: its beginning and its end, and a live view of the beginning."""

import codecs
from typing import Protocol

from contexten_core.security.text import clean_text

_LONGEST_SECRET = 16_384


class Redactor(Protocol):
    """Takes secrets out of a stream of text; one is made for each stream."""

    def feed(self, text: str, /) -> str:
        """Take the next piece, and return what can be shown by now: what could begin a secret is held back."""

    def end(self) -> str:
        """Return what was held back, as nothing more comes."""


class BoundedOutput:
    """Takes bytes in, gives text out, and never holds more than a few times `limit` bytes.

    Args:
        limit: how many bytes to keep; the first and the last half of it when there are more.
        redact: what all text goes through, if anything; only what is shown goes through it, so a flood costs little.
    """

    def __init__(self, *, limit: int, redact: Redactor | None = None) -> None:
        self.total = 0
        self._limit = limit
        self._head_limit = limit // 2
        self._tail_limit = limit - self._head_limit
        # A secret that begins before the tail is recognised by what is before it.
        self._before = 0 if redact is None else _LONGEST_SECRET
        self._head = bytearray()
        self._tail = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._fresh: list[str] = []
        self._live_left = limit
        self._notice = ""
        self._redact = redact
        self._shown: list[str] = []
        self._ends: str | None = None

    @property
    def truncated(self) -> bool:
        return self.total > self._limit

    def add(self, data: bytes) -> None:
        was_truncated = self.truncated
        self.total += len(data)
        if self._live_left:
            self._fresh.append(self._decoder.decode(data[: self._live_left]))
            self._live_left -= min(len(data), self._live_left)
        if self.truncated and not was_truncated:
            self._notice = f"\n... more than {self._limit} bytes; the end follows when the command is over ...\n"
        room = self._head_limit - len(self._head)
        self._head += data[:room] if room else b""
        self._tail += data[room:]
        # Trimmed seldom, so that a flood of small pieces does not move the whole tail each time.
        if len(self._tail) > 2 * (self._tail_limit + self._before):
            del self._tail[: len(self._tail) - self._tail_limit - self._before]

    def finish(self) -> None:
        """Note that nothing more comes, so that a character cut short shows up as U+FFFD."""
        redact = self._redact
        if redact is None:
            self._fresh.append(self._decoder.decode(b"", final=True))
        elif self.truncated:
            self._fresh = [self._redacted(redact)]
            self._ends = self._redacted_ends(redact)
        else:
            self._fresh.append(self._decoder.decode(b"", final=True))
            self._fresh = [self._redacted(redact), redact.end()]
            self._shown.append(self._fresh[-1])
            self._ends = "".join(self._shown)
        self._redact = None

    def take_fresh(self) -> str:
        """Return the text of the live view that has come since the last call: the first `limit` bytes and a marker."""
        text = "".join(self._fresh) if self._redact is None else self._redacted(self._redact)
        fresh = clean_text(text) + self._notice
        self._fresh, self._notice = [], ""
        return fresh

    def text(self) -> str:
        """Return everything, or the beginning, a marker and the end. With a redactor, `finish` comes first."""
        if self._ends is not None:
            return clean_text(self._ends)
        assert self._redact is None
        if not self.truncated:
            return clean_text((self._head + self._tail).decode("utf-8", "replace"))
        head, tail = self._head.decode("utf-8", "replace"), self._last().decode("utf-8", "replace")
        return clean_text(head + self._marker() + tail)

    def _redacted(self, redact: Redactor) -> str:
        text = redact.feed("".join(self._fresh))
        self._shown.append(text)
        return text

    def _redacted_ends(self, redact: Redactor) -> str:
        last = self._last()
        is_complete = self.total == len(self._head) + len(self._tail)
        kept = self._head + self._tail if is_complete else self._tail
        before = kept[: len(kept) - len(last)][-self._before :]
        # Its beginning may be the end of a secret, and the beginning of one may have been held back: neither is shown.
        redact.feed("\n" + before.decode("utf-8", "replace"))
        tail = redact.feed(last.decode("utf-8", "replace")) + redact.end()
        return "".join(self._shown)[: self._head_limit] + self._marker() + tail

    def _last(self) -> bytes:
        return bytes(self._tail[-self._tail_limit :]) if self._tail_limit else b""

    def _marker(self) -> str:
        return f"\n... {self.total - len(self._head) - len(self._last())} bytes left out ...\n"
