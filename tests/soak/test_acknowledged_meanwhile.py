"""While hostile commands use up what they are given, deliveries are acknowledged as ever. Under `make soak` alone."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from contexten.emulators.sender import push_payload, sign_github
from tests.e2e.conftest import household, make_stack  # noqa: F401 - fixtures
from tests.e2e.test_supervision import make_repository
from tests.functional.stacks import SECRET, GitHubProgram, ServedStack
from tests.soak.web import IS_LONG

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not IS_LONG, reason="takes a minute: make soak"),
    pytest.mark.xdist_group("stack"),
]

SLOWEST_SECONDS = 0.5
DELIVERIES = 300
HOSTILE = {
    "flood": "yes canary | head -c 10000000000; sleep 5",
    "hog": "held=x; while :; do held=$held$held; done",
    "filler": "while :; do head -c 50000000 /dev/zero >> big; done",
    "spin": "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; sleep 20",
    "bomb": "bomb() { bomb | bomb & }; bomb; sleep 20",
}


@pytest.fixture
def stack(make_stack: Callable[..., ServedStack], tmp_path: Path) -> Iterator[ServedStack]:  # noqa: F811 - the fixture
    with closing(GitHubProgram(tmp_path)) as github:
        stack = make_stack(GITHUB_API_URL=github.url, MAX_CONCURRENT_COMMANDS="4")
        stack.start()
        assert not stack.has_ended, stack.explain()
        yield stack


def test_hostile_commands_delay_no_acknowledgement(stack: ServedStack, tmp_path: Path) -> None:
    commit = make_repository(tmp_path / "code", check="")
    events = []
    for name, script in HOSTILE.items():
        command = f"timeout 20 bash -c '{script}'"
        where = ("--clone-url", str(tmp_path / "code"))
        assert stack.contexten("projects", "add", f"octo/{name}", "--command", command, *where).code == 0
        event, _ = deliver(stack, f"octo/{name}", commit, 0)
        events.append(event)
    taken = []
    for number in range(DELIVERIES):
        _, seconds = deliver(stack, "octo/nobody", commit, number)
        taken.append(seconds)
        time.sleep(0.05)
    slowest = sorted(taken)
    print(json.dumps({"p50 ms": round(slowest[len(taken) // 2] * 1000), "slowest ms": round(slowest[-1] * 1000)}))
    assert slowest[-1] < SLOWEST_SECONDS, slowest[-5:]
    for event in events:
        assert stack.handled(event, within=120)["status"] == "completed"


def deliver(stack: ServedStack, repository: str, commit: str, number: int) -> tuple[str, float]:
    """Deliver a push to a branch of its own; return its event, and the seconds until it was acknowledged."""
    payload = push_payload(repository, "0" * 40, commit, f"refs/heads/b{number}", "Add", "mona", stack.moment())
    body = json.dumps(payload).encode()
    headers = {"X-Hub-Signature-256": sign_github(SECRET, body)}
    began = time.monotonic()
    answer = stack.post(body, secret=None, headers=headers)
    seconds = time.monotonic() - began
    assert answer.status_code == 202, answer.text
    return str(answer.json()["event_id"]), seconds
