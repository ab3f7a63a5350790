"""What a command prints, kept within a limit: its beginning and its end, and a live view of the beginning."""

import codecs

from contexten_core.security.text import clean_text


class BoundedOutput:
    """Takes bytes in, gives text out, and never holds more than about three times `limit` bytes.

    Args:
        limit: how many bytes to keep; the first and the last half of it when there are more.
    """

    def __init__(self, *, limit: int) -> None:
        self.total = 0
        self._limit = limit
        self._head_limit = limit // 2
        self._tail_limit = limit - self._head_limit
        self._head = bytearray()
        self._tail = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._fresh: list[str] = []
        self._live_left = limit
        self._marked = False

    @property
    def truncated(self) -> bool:
        return self.total > self._limit

    def add(self, data: bytes) -> None:
        self.total += len(data)
        if self._live_left:
            self._fresh.append(self._decoder.decode(data[: self._live_left]))
            self._live_left -= min(len(data), self._live_left)
        if self.truncated and not self._marked:
            self._marked = True
            self._fresh.append(f"\n... more than {self._limit} bytes; the end follows when the command is over ...\n")
        room = self._head_limit - len(self._head)
        self._head += data[:room] if room else b""
        self._tail += data[room:]
        # Trimmed seldom, so that a flood of small pieces does not move the whole tail each time.
        if len(self._tail) > 2 * self._tail_limit:
            del self._tail[: len(self._tail) - self._tail_limit]

    def finish(self) -> None:
        """Note that nothing more comes, so that a character cut short shows up as U+FFFD."""
        self._fresh.append(self._decoder.decode(b"", final=True))

    def take_fresh(self) -> str:
        """Return the text of the live view that has come since the last call: the first `limit` bytes and a marker."""
        fresh, self._fresh = clean_text("".join(self._fresh)), []
        return fresh

    def text(self) -> str:
        """Return everything, or the beginning, a marker and the end."""
        if not self.truncated:
            return clean_text((self._head + self._tail).decode("utf-8", "replace"))
        head, tail = bytes(self._head), bytes(self._tail[-self._tail_limit :]) if self._tail_limit else b""
        left_out = self.total - len(head) - len(tail)
        marker = f"\n... {left_out} bytes left out ...\n"
        return clean_text(head.decode("utf-8", "replace") + marker + tail.decode("utf-8", "replace"))
