"""What waits for the database: whole tallies of each interval, until they are stored."""

from threading import Thread

from contexten_core.performance.ledger import Ledger, Reading
from contexten_core.performance.tally import Key, Metric
from contexten_core.performance.window import DAY, HOUR, MINUTE, TEN_MINUTES, WIDTHS, Span, cover

START = 20_000 * DAY
PUSH = Key(Metric.OPERATION, "push")


def reading(value: float = 1.0, *, name: str = "push", failed: bool = False) -> Reading:
    return Reading(Key(Metric.OPERATION, name), value, failed)


def test_a_value_counts_in_its_minute_ten_minutes_hour_and_day() -> None:
    ledger = Ledger(capacity=100)
    ledger.add(START + 754, [reading(0.5, failed=True)])
    assert [(entry.width, entry.start - START) for entry in ledger.unsaved()] == [
        (MINUTE, 720),
        (TEN_MINUTES, 600),
        (HOUR, 0),
        (DAY, 0),
    ]
    assert {(entry.tally.count, entry.tally.total, entry.tally.errors) for entry in ledger.unsaved()} == {(1, 0.5, 1)}


def test_what_is_stored_is_not_stored_again_until_it_grows() -> None:
    ledger = Ledger(capacity=100)
    ledger.add(START, [reading()])
    ledger.mark_saved(ledger.unsaved())
    assert ledger.unsaved() == []
    ledger.add(START + 1, [reading()])
    assert {entry.tally.count for entry in ledger.unsaved()} == {2}


def test_a_value_that_comes_while_others_are_stored_waits_for_the_next_time() -> None:
    ledger = Ledger(capacity=100)
    ledger.add(START, [reading()])
    copied = ledger.unsaved()
    ledger.add(START + 1, [reading()])
    ledger.mark_saved(copied)
    assert {entry.tally.count for entry in ledger.unsaved()} == {2}


def test_stored_intervals_that_are_over_are_let_go() -> None:
    ledger = Ledger(capacity=100)
    ledger.add(START, [reading()])
    ledger.add(START + 2 * DAY, [reading()])
    ledger.mark_saved(ledger.unsaved())
    found, held_from = ledger.look(Span(width, START, START + 3 * DAY) for width in WIDTHS)
    assert found[PUSH].count == len(WIDTHS)
    assert held_from == dict.fromkeys(WIDTHS, START + 2 * DAY)


def test_a_clock_that_is_set_back_does_not_reopen_what_was_let_go() -> None:
    ledger = Ledger(capacity=100)
    ledger.add(START + 2 * DAY, [reading()])
    ledger.add(START, [reading()])
    assert {entry.start for entry in ledger.unsaved()} == {START + 2 * DAY}


def test_the_oldest_minutes_go_first_when_too_much_waits() -> None:
    ledger = Ledger(capacity=20)
    for minute in range(100):
        ledger.add(START + minute * MINUTE, [reading()])
    held = ledger.unsaved()
    assert len(held) <= 20 + len(WIDTHS)
    assert sum(entry.tally.count for entry in held if entry.width == DAY) == 100
    assert min(entry.start for entry in held if entry.width == MINUTE) > START + 80 * MINUTE


def test_recent_is_the_last_five_minutes_of_operations() -> None:
    ledger = Ledger(capacity=100)
    ledger.add(START, [reading(name="old")])
    ledger.add(START + 5 * MINUTE, [reading(), Reading(Key(Metric.CPU), 50)])
    ledger.mark_saved(ledger.unsaved())
    ledger.add(START + 6 * MINUTE, [reading()])
    assert {name: tally.count for name, tally in ledger.recent(START + 6 * MINUTE).items()} == {"push": 2}


def test_threads_lose_nothing() -> None:
    ledger = Ledger(capacity=100)

    def work() -> None:
        for number in range(2_000):
            ledger.add(START + number, [reading()])

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found, _ = ledger.look([*cover(START, START + 2_000)])
    assert found[PUSH].count == 8_000
