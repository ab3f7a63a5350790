"""Loose floors on logs that nobody here wrote; the figures themselves are measured elsewhere."""

import csv
import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contexten_core.learning.cluster import Outcome, cluster_outcomes
from contexten_core.learning.failure import FailureKind, explain_failure
from contexten_core.learning.fingerprint import fingerprint
from contexten_core.learning.lines import clean_lines

DATA = Path(__file__).parents[4] / "shared" / "data"
MATCH = "#=MATCH=# "

KINDS = {
    "COMPILATION_FAILURE": {FailureKind.COMPILATION},
    "TEST_FAILURE": {FailureKind.TEST},
    "ENFORCER_FAILURE": {FailureKind.POLICY, FailureKind.LINT},
    "WERROR_FAILURE": {FailureKind.LINT},
    "DEPENDENCY_RESOLUTION_FAILURE": {FailureKind.DEPENDENCY},
    "DEPENDENCY_LOCK_FAILURE": {FailureKind.DEPENDENCY},
}


def folder(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"no real data: {name} is not under ../shared/data")
    return DATA / name


def test_maven_builds() -> None:
    bump = folder("bump")
    with (bump / "labels.csv").open(encoding="utf-8") as handle:
        labels = list(csv.DictReader(handle))[::6]
    agreed = 0
    outcomes = []
    for label in labels:
        log = gzip.decompress((bump / label["log_file"]).read_bytes()).decode(errors="replace")
        failure = explain_failure(log, exit_code=1, ended="exited")
        agreed += failure.kind in KINDS[label["failureCategory"]]
        outcomes.append(
            Outcome(
                id=label["commit"],
                text=fingerprint(failure).normalised,
                prompt="build",
                project=label["project"],
                success=False,
                duration_seconds=1.0,
                occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
                kind=failure.kind.value,
            )
        )

    assert agreed >= 0.9 * len(labels)
    assert len(cluster_outcomes(outcomes).clusters) < len(labels) / 2


def test_fragments_of_github_actions() -> None:
    shown = total = 0
    for path in sorted(folder("gha_fragments").glob("*.txt")):
        marked = path.read_text(encoding="utf-8")
        plain = marked.replace(MATCH, "").replace("\u2039", "").replace("\u203a", "")
        (number,) = (at for at, line in enumerate(marked.split("\n")) if line.startswith(MATCH))
        failure = explain_failure(plain, exit_code=1, ended="exited")
        shown += clean_lines(plain)[number].strip()[:400] in failure.excerpt
        total += 1

    assert shown >= 0.7 * total
