"""Repeats a command's log in Prefect, up to a limit: Prefect's server keeps a row for each line."""

import logging

MAXIMUM_LINES = 1_000
MAXIMUM_LINE_LENGTH = 2_000


class LogRelay:
    """Logs whole lines; text after the last line break waits for the rest of its line."""

    def __init__(self, logger: "logging.Logger | logging.LoggerAdapter[logging.Logger]") -> None:
        self._logger = logger
        self._rest = ""
        self._lines = 0

    def say(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        self._rest = self._rest[-MAXIMUM_LINE_LENGTH:]
        for line in lines:
            self._log(line)

    def end(self, headline: str) -> None:
        """Log what is left, and how it ended."""
        if self._rest:
            self._log(self._rest)
            self._rest = ""
        self._logger.info("%s", headline)

    def _log(self, line: str) -> None:
        self._lines += 1
        if self._lines <= MAXIMUM_LINES:
            self._logger.info("%s", line[:MAXIMUM_LINE_LENGTH])
        elif self._lines == MAXIMUM_LINES + 1:
            self._logger.info("the log goes on; the run's page shows the rest")
