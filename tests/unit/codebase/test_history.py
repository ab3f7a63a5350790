"""What the history of a commit says of its files."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from contexten_core.codebase.history import NO_HISTORY, LoggedCommit, hot_spots, parse_log, summarise_history

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def commit(number: int, *paths: str, author: str = "Ada") -> LoggedCommit:
    return LoggedCommit(f"{number:040x}", author, NOON - timedelta(days=number), paths)


COMMITS = [
    commit(0, "cart.py", "tests/test_cart.py"),
    commit(1, "cart.py", "tests/test_cart.py", "README.md", author="Grace"),
    commit(2, "cart.py", "tests/test_cart.py", "gone.py"),
    commit(3, "cart.py"),
]
PRESENT = ["cart.py", "tests/test_cart.py", "README.md"]


def test_changes_and_their_authors_are_counted_for_files_that_are_still_there() -> None:
    history = summarise_history(COMMITS, present=PRESENT, is_whole=True)

    assert (history.commits, history.is_whole, history.since) == (4, True, NOON - timedelta(days=3))
    assert set(history.files) == set(PRESENT)
    assert history.files["cart.py"].commits == 4
    assert history.files["cart.py"].authors == (("Ada", 3), ("Grace", 1))
    assert history.files["README.md"].last_changed_at == NOON - timedelta(days=1)


def test_files_that_change_together_are_known_by_support_and_confidence() -> None:
    history = summarise_history(COMMITS, present=PRESENT, is_whole=True)

    ((other, pair),) = history.changed_with("cart.py")
    assert (other, pair.together, pair.confidence) == ("tests/test_cart.py", 3, 1.0)
    assert [name for name, _ in history.changed_with("tests/test_cart.py")] == ["cart.py"]
    assert history.changed_with("README.md") == []


def test_a_commit_that_touches_everything_ties_nothing_together() -> None:
    everything = [f"{number}.py" for number in range(40)]
    commits = [commit(number, *everything) for number in range(5)]

    assert summarise_history(commits, present=everything, is_whole=True).co_changes == ()


def test_hot_spots_are_complex_and_often_changed() -> None:
    history = summarise_history([*COMMITS, commit(4, "README.md")], present=PRESENT, is_whole=True)

    found = hot_spots(history, {"cart.py": 10, "tests/test_cart.py": 4, "README.md": 0})

    assert [(spot.path, spot.commits, spot.complexity, spot.score) for spot in found] == [
        ("cart.py", 4, 10, 1.0),
        ("tests/test_cart.py", 3, 4, 0.3),
    ]
    assert hot_spots(NO_HISTORY, {"cart.py": 10}) == []


def test_the_fields_of_gits_log_are_read() -> None:
    log = [b"\x01" + b"a" * 40, b"Ada  L\xff", b"1763812800", b"\na file\n.py", b"b.py"]
    log += [b"\x01" + b"b" * 40, b"Bo", b"1763812700", b"\x01" + b"c" * 40, b"Cy", b"99999999999999999"]

    one, two, three = parse_log(log)

    assert (one.commit, one.author, one.paths) == ("a" * 40, "Ada L\ufffd", ("a file\n.py", "b.py"))
    assert one.at == datetime(2025, 11, 22, 12, tzinfo=UTC)
    assert two.paths == ()
    assert three.at == datetime(1970, 1, 1, tzinfo=UTC)


@given(st.lists(st.binary(max_size=5) | st.sampled_from([b"\x01abc", b"12"]), max_size=12))
def test_any_log_has_an_answer(fields: list[bytes]) -> None:
    summarise_history(parse_log(fields), present=["a"], is_whole=False)
