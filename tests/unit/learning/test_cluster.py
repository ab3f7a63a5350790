"""Failures grouped by theme, and prompts by how they do."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from contexten_core.learning.cluster import Outcome, cluster_outcomes
from contexten_core.learning.prompt_table import wilson_interval

START = datetime(2026, 7, 1, tzinfo=UTC)


def outcome(
    number: int,
    text: str = "",
    *,
    prompt: str = "run-checks",
    project: str = "calc",
    success: bool = False,
    seconds: float = 1.0,
    kind: str = "dependency",
) -> Outcome:
    return Outcome(
        id=f"o{number}",
        text=text,
        prompt=prompt,
        project=project,
        success=success,
        duration_seconds=seconds,
        occurred_at=START + timedelta(hours=number),
        kind=kind,
    )


MIXED = [
    outcome(1, "ModuleNotFoundError: No module named 'yaml'", project="calc"),
    outcome(2, "Connection refused by database server"),
    outcome(3, "ModuleNotFoundError: No module named 'toml'", project="web", prompt="fix-bug"),
    outcome(4, "ModuleNotFoundError: No module named 'yaml'", project="api"),
    outcome(5, "Connection refused by database server"),
    outcome(6, success=True),
]


def test_failures_of_one_theme_share_a_cluster() -> None:
    modules, connections = cluster_outcomes(MIXED).clusters

    assert modules.member_ids == ("o1", "o3", "o4")
    assert modules.label == "ModuleNotFoundError: No module named 'yaml'"
    assert set(modules.terms) >= {"module", "modulenotfounderror", "named"}
    assert modules.projects == ("api", "calc", "web")
    assert modules.prompts == ("fix-bug", "run-checks")
    assert (modules.first_seen, modules.last_seen) == (START + timedelta(hours=1), START + timedelta(hours=4))
    assert connections.size == 2
    assert connections.cohesion == pytest.approx(1)
    assert 0.5 < modules.cohesion < 1


def test_the_order_of_the_outcomes_does_not_matter() -> None:
    shuffled = MIXED.copy()
    random.Random(0).shuffle(shuffled)

    assert cluster_outcomes(shuffled) == cluster_outcomes(MIXED)


def test_kinds_are_kept_apart() -> None:
    clustering = cluster_outcomes([outcome(1, "it broke", kind="test"), outcome(2, "it broke", kind="crash")])

    assert [cluster.kind for cluster in clustering.clusters] == ["crash", "test"]


def test_a_smaller_distance_makes_more_clusters() -> None:
    assert len(cluster_outcomes(MIXED, distance=0.05).clusters) > len(cluster_outcomes(MIXED).clusters)


@pytest.mark.parametrize(
    "outcomes",
    [
        [],
        [outcome(1, success=True)],
        [outcome(1, "it broke")],
        [outcome(1, "")],
        [outcome(1, ""), outcome(2, "")],
        [outcome(1, "it broke"), outcome(2, "it broke")],
        [outcome(1, "it broke"), outcome(2, "")],
        [outcome(1, "12"), outcome(2, "<n>")],
    ],
)
def test_few_or_wordless_outcomes(outcomes: list[Outcome]) -> None:
    clustering = cluster_outcomes(outcomes)

    assert sum(cluster.size for cluster in clustering.clusters) == sum(not item.success for item in outcomes)
    assert all(cluster.label and 0 <= cluster.cohesion <= 1 for cluster in clustering.clusters)


def test_only_the_newest_outcomes_are_considered() -> None:
    clustering = cluster_outcomes([outcome(number, "it broke") for number in range(10)], limit=3)

    assert clustering.clusters[0].member_ids == ("o7", "o8", "o9")
    assert (clustering.considered, clustering.left_out) == (3, 7)


def test_prompts_are_rated_with_an_interval() -> None:
    outcomes = [outcome(n, success=n % 4 != 0, seconds=n, prompt="fix-bug") for n in range(1, 21)]

    (fixes,) = cluster_outcomes(outcomes).prompts

    assert (fixes.prompt, fixes.runs, fixes.successes, fixes.success_rate) == ("fix-bug", 20, 15, 0.75)
    assert (fixes.success_low, fixes.success_high) == pytest.approx((0.5313, 0.8881), abs=1e-4)
    assert fixes.median_seconds == 10.5
    assert fixes.p95_seconds == pytest.approx(19.05)


def test_durations_that_are_not_known_are_not_counted() -> None:
    one, other = cluster_outcomes(
        [
            outcome(1, success=True, prompt="a", seconds=float("nan")),
            outcome(2, success=True, prompt="b", seconds=float("inf")),
            outcome(3, success=True, prompt="b", seconds=4.0),
        ]
    ).prompts

    assert (one.median_seconds, one.p95_seconds) == (None, None)
    assert (other.median_seconds, other.p95_seconds) == (4.0, 4.0)


@pytest.mark.parametrize(
    ("successes", "runs", "interval"),
    [(0, 0, (0, 1)), (1, 1, (0.2065, 1)), (0, 10, (0, 0.2775)), (5, 10, (0.2366, 0.7634))],
)
def test_wilsons_interval(successes: int, runs: int, interval: tuple[float, float]) -> None:
    assert wilson_interval(successes=successes, runs=runs) == pytest.approx(interval, abs=1e-4)
