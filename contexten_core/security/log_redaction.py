"""Keep secrets out of every log of this process: ours, the libraries', Prefect's, tracebacks too."""

import logging
import traceback
from typing import Any

from contexten_core.security.redaction import Redactor

_LONGEST_MESSAGE = 100_000


class _Making:
    """The record factory that there was before ours."""

    original: Any = None


def redact_logs(redactor: Redactor) -> None:
    """Redact every log record of this process from now on, before any handler sees it.

    Arguments are put into their message, and a traceback is written out, since either may hold a secret.
    """
    make = _Making.original or logging.getLogRecordFactory()
    _Making.original = make

    def make_redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = make(*args, **kwargs)
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            # The handler tells of arguments that do not fit, in the way that it always does.
            return record
        redacted = redactor.redact(message[:_LONGEST_MESSAGE])
        if redacted != message:
            record.msg, record.args = redacted, None
        if record.exc_info and record.exc_info[0] is not None:
            written = "".join(traceback.format_exception(*record.exc_info))
            record.exc_text = redactor.redact(written[-_LONGEST_MESSAGE:]).rstrip("\n")
        if record.stack_info:
            record.stack_info = redactor.redact(record.stack_info)
        return record

    logging.setLogRecordFactory(make_redacted)
