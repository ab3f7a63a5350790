"""Every kind of webhook that GitHub sends, as it was recorded from GitHub."""

from pathlib import Path

import pytest

from tests.functional.stacks import ServedStack, eventually

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "webhooks" / "github"


def test_every_recorded_webhook_is_accepted_and_ends_without_failing(stack: ServedStack) -> None:
    files = sorted(RECORDED.glob("*/*.payload.json"))
    if not files:
        pytest.skip(f"there are no recorded webhooks in {RECORDED}")
    waiting, refused = {}, {}
    for file in files:
        name = f"{file.parent.name}/{file.name}"
        answer = stack.post(file.read_bytes(), event=file.parent.name)
        if answer.status_code == 202:
            waiting[answer.json()["event_id"]] = name
        else:
            refused[name] = f"{answer.status_code} {answer.text}"

    def ended() -> dict[str, tuple[str, str | None]] | None:
        events = {event["id"]: event for event in stack.get("/api/events", limit=500)["items"]}
        found = {name: (events[key]["outcome"], events[key]["reason"]) for key, name in waiting.items()}
        unfinished = [name for name, (outcome, _) in found.items() if outcome in ("pending", "processing", "retrying")]
        return None if unfinished else found

    outcomes = eventually(ended, within=150, every=1, what="the ends of all recorded webhooks")
    assert refused == {}
    # Some are of one pull request or branch, and come one right after the other.
    expected = ("ignored", "superseded")
    assert {name: outcome for name, outcome in outcomes.items() if outcome[0] not in expected or not outcome[1]} == {}
