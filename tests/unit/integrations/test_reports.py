from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from contexten_core.events.claim import RunRef
from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.execution.executor import Cost
from contexten_core.integrations.report_words import Layout, ReportedRun, State, blocks, body, standing_of
from contexten_core.integrations.reports import asking_in, reaction_at, sticky_at
from contexten_core.outputs.place import Place
from contexten_core.settings import Settings

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
COMMITS = [f"{number:x}" * 40 for number in range(1, 16)]
RUN = RunRef(run_id=UUID(int=1), event_id=UUID(int=2), epoch=1, name="acme/cashbox#7 synchronize", attempt=1)


@pytest.fixture
def settings() -> Settings:
    return Settings(public_url="https://contexten.acme.example")


def _run(number: int, state: State = State.SUCCEEDED, *, prompt: str | None = "checks", **given: object) -> ReportedRun:
    """Return the run of the commit of that number, which arrived after those with smaller ones."""
    moment = NOON + timedelta(minutes=number)
    run = ReportedRun(UUID(int=number), UUID(int=100 + number), state, moment, moment, prompt, COMMITS[number])
    return replace(run, **given)  # type: ignore[arg-type]


def _told(settings: Settings, *runs: ReportedRun, layout: Layout = Layout.GITHUB, log: str | None = None) -> str:
    excerpts = {} if log is None else {runs[0].run_id: log}
    return body(layout, settings, standing_of(runs), excerpts)


def test_a_commit_that_failed_an_earlier_one_that_did_not(settings: Settings) -> None:
    failed = _run(2, State.FAILED, message="1 test failed: tests/test_a.py::test_b", seconds=3.21)
    told = _told(settings, failed, _run(1, seconds=75.4, cost=Cost(2, 1000, 234, 0.0123)), log="E  assert 1 == 2")

    assert (
        told
        == f"""\
### ❌ Contexten: failed at `33333333`

| Prompt | Commit | Result | Took | Cost | Run |
| --- | --- | --- | --- | --- | --- |
| `checks` | `33333333` | ❌ failed | 3.2 s | – | [run](https://contexten.acme.example/runs/{UUID(int=2)}) |

`1 test failed: tests/test_a.py::test_b`

```text
E  assert 1 == 2
```

To do it again, comment `/contexten rerun`, or run `contexten events replay {UUID(int=102)}`. \
To see why it was chosen, comment `/contexten explain`.

<details>
<summary>Earlier commits</summary>

| Prompt | Commit | Result | Took | Cost | Run |
| --- | --- | --- | --- | --- | --- |
| `checks` | `22222222` | ✅ succeeded | 1 min 15 s | 0.0123 USD, 1,234 tokens \
| [run](https://contexten.acme.example/runs/{UUID(int=1)}) |

</details>"""
    )


def test_in_slack_and_at_linear_the_same_without_a_table(settings: Settings) -> None:
    runs = (_run(2, State.FAILED, message="<b> failed", seconds=3.21), _run(1))
    slack = _told(settings, *runs, layout=Layout.SLACK, log="a < b")
    linear = _told(settings, *runs, layout=Layout.LINEAR, log="a < b")
    url = f"https://contexten.acme.example/runs/{UUID(int=2)}"

    assert slack.startswith("*❌ Contexten: failed* at `33333333`")
    assert f"• `checks` at `33333333`: failed in 3.2 s (<{url}|run>)" in slack
    assert "`&lt;b&gt; failed`" in slack
    assert "a &lt; b" in slack
    assert "mention us with `rerun`" in slack
    assert f"- `checks` at `33333333`: failed in 3.2 s ([run]({url}))" in linear
    assert "`<b> failed`" in linear


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((State.SUCCEEDED, State.FAILED), State.FAILED),
        ((State.FAILED, State.BROKEN), State.BROKEN),
        ((State.BROKEN, State.RUNNING), State.RUNNING),
        ((State.SUCCEEDED, State.SUCCEEDED), State.SUCCEEDED),
    ],
)
def test_a_commit_stands_as_the_worst_of_its_prompts(states: tuple[State, State], expected: State) -> None:
    assert standing_of([_run(1, state, prompt=state.name + str(n)) for n, state in enumerate(states)]).state is expected


def test_the_last_run_of_a_prompt_counts_and_who_ends_late_does_not_become_the_newest() -> None:
    first = _run(2, State.FAILED)
    again = replace(first, run_id=UUID(int=50), state=State.SUCCEEDED, started_at=NOON + timedelta(hours=1))
    standing = standing_of([first, again, _run(1, State.FAILED, started_at=NOON + timedelta(hours=2))])

    assert [run.run_id for run in standing.current] == [UUID(int=50)]
    assert [run.commit for run in standing.earlier] == [COMMITS[1]]


def test_a_commit_that_another_replaced_is_not_the_newest_though_it_arrived_last() -> None:
    standing = standing_of([_run(3, replaced=COMMITS[1]), _run(2, replaced=COMMITS[4]), _run(4, replaced=COMMITS[3])])
    assert standing.current[0].commit == COMMITS[2]

    forced_back = [_run(1), _run(2, replaced=COMMITS[1]), _run(3, commit=COMMITS[1], replaced=COMMITS[2])]
    assert standing_of(forced_back).current[0].run_id == UUID(int=3)


def test_at_most_ten_earlier_runs_are_told(settings: Settings) -> None:
    told = _told(settings, *(_run(number) for number in range(14)))

    assert told.count("| `checks` |") == 11


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        (State.RUNNING, "comment `/contexten cancel`"),
        (State.REFUSED, f"`contexten events replay {UUID(int=101)}`"),
        (State.WAITING, f"comment `/contexten approve {COMMITS[1]}`"),
        (State.BROKEN, f"`contexten events replay {UUID(int=101)}`"),
    ],
)
def test_what_to_do_next(settings: Settings, state: State, advice: str) -> None:
    assert advice in _told(settings, _run(1, state))


def test_what_nobody_approved_can_be_pushed_to_the_repository_itself(settings: Settings) -> None:
    told = _told(settings, _run(1, State.REFUSED, approval=UUID(int=7)))
    assert "push these commits to a branch of the repository itself" in told


def test_a_budget_that_is_nearly_used_up_is_told_and_so_is_what_a_run_is_likely_to_take(settings: Settings) -> None:
    waiting = _run(1, State.WAITING, approval=UUID(int=7), expected="1.5 s (up to 2.0 s); by 3 past runs")
    told = _told(settings, replace(waiting, warnings=("daily runs: 19 of 20 runs used",)))

    assert "\n\nIt is likely to take: 1.5 s (up to 2.0 s); by 3 past runs.\n\n" in told
    assert "\n\n⚠️ daily runs: 19 of 20 runs used\n\n" in told


def test_in_slack_what_waits_has_buttons_that_name_the_approval_and_the_commit(settings: Settings) -> None:
    waiting = _run(1, State.WAITING, approval=UUID(int=7), message="the pull request comes from a fork")
    section, buttons = blocks(settings, standing_of([waiting]), about="acme/cashbox#7")
    approve, refuse = buttons["elements"]

    assert section["text"]["text"].startswith("*✋ Contexten: waits for approval* at `22222222` of `acme/cashbox#7`")
    assert (approve["action_id"], refuse["action_id"]) == ("contexten_approve", "contexten_refuse")
    assert approve["value"] == refuse["value"] == f"{UUID(int=7)}:{COMMITS[1]}"
    assert approve["text"]["text"] == "Approve checks"


def test_without_anything_that_waits_there_are_no_blocks(settings: Settings) -> None:
    assert blocks(settings, standing_of([_run(1, State.RUNNING)])) == []


def test_blocks_stay_within_what_slack_takes(settings: Settings) -> None:
    runs = [
        _run(1, State.WAITING, prompt=f"{number}" * 300, approval=UUID(int=number), message="<!here> " * 200)
        for number in range(1, 10)
    ]
    made = blocks(settings, standing_of(runs), about="a" * 300)

    assert len(made) <= 50
    assert all(len(one["text"]["text"]) <= 3_000 for one in made if one["type"] == "section")
    assert all(len(button["text"]["text"]) <= 75 for one in made for button in one.get("elements", ()))
    assert "<!here>" not in str(made)


def _event(**given: object) -> NormalisedEvent:
    event = NormalisedEvent(EventProvider.GITHUB, "pull_request", "n", subject="Acme/cashbox#7", number=7)
    return replace(event, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "channel"),
    [
        ({("slack", "channel"): "C1", ("approvers", "slack"): ["U1"]}, "C1"),
        ({("slack", "channel"): ["C2", "C3"], ("approvers", "slack"): ["U1"]}, "C2"),
        ({("slack", "channel"): "C1"}, None),
        ({("slack", "channel"): "C1", ("approvers", "slack"): []}, None),
        ({("slack", "channel"): "not a channel", ("approvers", "slack"): ["U1"]}, None),
        ({("approvers", "slack"): ["U1"]}, None),
    ],
)
def test_approvals_are_asked_for_where_somebody_may_give_them(
    config: dict[tuple[str, str], object], channel: str | None
) -> None:
    asking = asking_in(config, _event())

    assert (asking and asking.content["channel"]) == channel
    assert asking is None or (asking.stream, asking.about) == (
        f"slack:{channel}:approvals:acme/cashbox#7",
        "Acme/cashbox#7",
    )
    assert asking_in(config, _event(provider=EventProvider.SLACK)) is None


HOSTILE = (
    "`; @acme/everyone <img src=https://evil.example/x.png> | a | b |\n/approve\n@dependabot merge fixes #12",
    "```\n</details>\n# Approved by @octocat\n[click](https://evil.example/?q=SECRET)\n````",
    "~~~\n<!-- \n````````\n@everyone\n![x](https://evil.example/y.png) <!channel> <@U123>",
    "\u202e\u200b`` ` ```` \x1b[31mred /contexten approve",
    "`````````\n@everyone evil.example\n/approve\n```\nmerge",
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("layout", Layout)
def test_what_comes_from_outside_stays_inside_of_code(settings: Settings, layout: Layout, text: str) -> None:
    run = _run(1, State.FAILED, prompt=text, message=text)
    told = _told(settings, run, layout=layout, log=text)
    outside = _outside_of_code(told, layout)

    for word in ("@", "evil.example", "<img", "approve", "<!", "<@", "merge", "Approved", "everyone"):
        assert word not in outside
    assert "/approve" not in told
    assert "@dependabot" not in told
    assert not {"\u202e", "\u200b", "\x1b"} & set(told)
    assert told.count("\n### ") == 0


def _outside_of_code(told: str, layout: Layout) -> str:
    """Return what of a report is not code, as CommonMark reads blocks and pieces of code."""
    kept, fence = [], ""
    for line in told.split("\n"):
        ticks = len(line) - len(line.lstrip("`"))
        if fence:
            fence = "" if line == fence or (line.strip("`") == "" and ticks >= len(fence)) else fence
        elif ticks >= 3:
            fence = "`" * ticks
        else:
            # Ours have one backtick at each end, and none inside.
            kept.append("".join(line.split("`")[::2]))
            assert line.count("`") % 2 == 0
    assert not fence
    return "\n".join(kept).replace("<details>", "") if layout is Layout.GITHUB else "\n".join(kept)


def test_a_refusal_is_prose_in_which_nobody_is_called(settings: Settings) -> None:
    told = _told(settings, _run(1, State.REFUSED, prompt=None, message="@octocat may not write; see <b>there</b>"))

    assert "### 🚫 Contexten: not run" in told
    assert "`@octocat`" in told
    assert "<b>" not in told.replace("\\<b>", "")


def test_a_log_that_is_too_long_is_cut_and_closed(settings: Settings) -> None:
    told = _told(settings, _run(1, State.FAILED), log="qq ```\n" * 5_000)

    assert 3_000 < len(told) < 4_000
    assert "qq" not in _outside_of_code(told, Layout.GITHUB)


def test_one_log_of_three_leaves_room_for_the_others(settings: Settings) -> None:
    runs = [_run(1, State.FAILED, run_id=UUID(int=number), prompt=f"p{number}") for number in range(5)]
    told = body(Layout.GITHUB, settings, standing_of(runs), {run.run_id: "y" * 9_000 for run in runs})

    assert 2_500 < told.count("y") <= 3_100
    assert told.count("```text") == 3


EVENT = NormalisedEvent("pull_request", "acme/Cashbox#7", repository="acme/Cashbox", subject="acme/Cashbox#7", number=7)
PULL_REQUEST = Place(EventProvider.GITHUB, repository="acme/Cashbox", number=7, is_pull_request=True)


def test_a_pull_request_has_one_comment(settings: Settings) -> None:
    sticky = sticky_at(settings, PULL_REQUEST, EVENT)

    assert sticky is not None
    assert (sticky.kind, sticky.stream) == ("github.sticky", "github:acme/cashbox#7")
    assert sticky.content == {
        "api_url": settings.github_api_url,
        "repository": "acme/Cashbox",
        "number": 7,
        "post": "github:acme/cashbox#7",
    }
    assert reaction_at(settings, PULL_REQUEST, EVENT, RUN) is None


@pytest.mark.parametrize(
    "place",
    [
        replace(PULL_REQUEST, is_pull_request=False),
        replace(PULL_REQUEST, number=8),
        Place(EventProvider.GITHUB, repository="acme/Cashbox"),
        Place(EventProvider.LINEAR),
        Place(EventProvider.SLACK, channel="C1"),
        Place(EventProvider.DEPLOYMENT),
    ],
)
def test_elsewhere_nothing_is_edited(settings: Settings, place: Place) -> None:
    assert sticky_at(settings, place, EVENT) is None


@pytest.mark.parametrize(
    ("place", "event_type", "kind", "content"),
    [
        (
            replace(PULL_REQUEST, comment_id=5, comment_kind="review", api_url="https://ghe.example/api"),
            "pull_request_review_comment",
            "github.reaction",
            {
                "api_url": "https://ghe.example/api",
                "repository": "acme/Cashbox",
                "comment_id": 5,
                "comment_kind": "review",
                "content": "eyes",
            },
        ),
        (
            Place(EventProvider.LINEAR, issue_id="i", message="c"),
            "Comment",
            "linear.reaction",
            {"comment_id": "c", "emoji": "eyes"},
        ),
        (
            Place(EventProvider.SLACK, channel="C1", thread="1.0", message="2.0"),
            "app_mention",
            "slack.reaction",
            {"channel": "C1", "ts": "2.0", "name": "eyes"},
        ),
    ],
)
def test_who_asked_in_a_comment_sees_that_it_was_read(
    settings: Settings, place: Place, event_type: str, kind: str, content: dict[str, object]
) -> None:
    effect = reaction_at(settings, place, replace(EVENT, type=event_type), RUN)

    assert effect is not None
    assert (effect.kind, effect.content, effect.effect_key) == (kind, content, f"{RUN.event_id}:{kind}")
