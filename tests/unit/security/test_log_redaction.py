import io
import logging
from collections.abc import Iterator

import pytest

from contexten_core.security import log_redaction
from contexten_core.security.log_redaction import redact_logs
from contexten_core.security.redaction import Redactor

SECRET = "canary-0123456789"


@pytest.fixture
def logged() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    before = logging.getLogRecordFactory()
    text, logger = io.StringIO(), logging.getLogger("contexten.tests.redaction")
    handler = logging.StreamHandler(text)
    logger.addHandler(handler)
    logger.propagate = False
    redact_logs(Redactor([SECRET]))
    yield logger, text
    logger.removeHandler(handler)
    log_redaction._Making.original = None
    logging.setLogRecordFactory(before)


def test_messages_arguments_and_tracebacks_are_redacted(logged: tuple[logging.Logger, io.StringIO]) -> None:
    logger, text = logged

    logger.warning("it is %s", SECRET)
    try:
        raise ValueError(f"bad {SECRET}")
    except ValueError:
        logger.exception("%d failed", 1)

    said = text.getvalue()
    assert said.startswith("it is [redacted]\n1 failed\nTraceback")
    assert "ValueError: bad [redacted]" in said
    assert SECRET not in said


def test_ordinary_records_stay_as_they_are(logged: tuple[logging.Logger, io.StringIO]) -> None:
    logger, text = logged

    logger.warning("%s of %d", "one", 3)

    assert text.getvalue() == "one of 3\n"


def test_the_last_redactor_counts(logged: tuple[logging.Logger, io.StringIO]) -> None:
    logger, text = logged
    redact_logs(Redactor(["another-canary-9876"]))

    logger.warning("another-canary-9876")

    assert text.getvalue() == "[redacted]\n"
