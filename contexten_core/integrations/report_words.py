"""What our reports say: how the newest commit stands, why, what to do about it, and how earlier commits went.

Pure. What comes from outside is made harmless here: names and messages are code that cannot end early, and what a log
says is between fences of our own. It has been redacted before.
"""

import html
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from contexten_core.events.verbs_parse import APPROVE_BUTTON, REFUSE_BUTTON
from contexten_core.execution.executor import Cost
from contexten_core.integrations.statuses import run_url
from contexten_core.outputs.neutralise import for_linear, for_markdown, for_slack
from contexten_core.outputs.words import visible, without_orders
from contexten_core.security.text import one_line
from contexten_core.settings import Settings

EXCERPT_LIMIT = 3_000
MOST_EXCERPTS = 3

_MOST_CURRENT = 10
_MOST_EARLIER = 10
_SHORT_COMMIT = 8
_NAME_LIMIT = 100
_HEADLINE_LIMIT = 300
_REASON_LIMIT = 500
_MINUTE = 60
_SECTION_LIMIT = 2_900
"""Slack takes 3,000 characters in one section of a message, and 75 on a button."""

_BUTTON_LIMIT = 70
_NOTHING = "–"
_TICKS = re.compile(r"`{3,}")


class State(StrEnum):
    """How a run stands, as people are told it."""

    RUNNING = "running"
    WAITING = "waits for approval"
    BROKEN = "could not be done"
    FAILED = "failed"
    REFUSED = "not run"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"


_SIGNS = {
    State.RUNNING: "⏳",
    State.WAITING: "✋",
    State.BROKEN: "❗",
    State.FAILED: "❌",
    State.REFUSED: "🚫",
    State.CANCELLED: "⏹",
    State.SUCCEEDED: "✅",
}
_STATES = list(State)
"""As they are declared: the first of those that the runs of a commit are in is how the commit stands."""


class Layout(StrEnum):
    """How the service that a report goes to marks text."""

    GITHUB = "github"
    LINEAR = "linear"
    SLACK = "slack"


_NEUTRAL = {Layout.GITHUB: for_markdown, Layout.LINEAR: for_linear, Layout.SLACK: for_slack}


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """One run of a subject.

    Attributes:
        prompt: its slug; None when none was selected.
        message: one line of what came of it, or why not.
        arrived_at: when its event did.
        replaced: the commit that its event says was the newest one before its own.
        approval: the one that it waits for, or waited for in vain.
        expected: what it is likely to take, while it waits.
        warnings: one line each: budgets that are nearly used up.
    """

    run_id: UUID
    event_id: UUID
    state: State
    arrived_at: datetime
    started_at: datetime
    prompt: str | None = None
    commit: str | None = None
    replaced: str | None = None
    message: str | None = None
    seconds: float | None = None
    cost: Cost = field(default_factory=Cost)
    approval: UUID | None = None
    expected: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a subject stands: the last run of each prompt on its newest commit, and on earlier ones, newest first."""

    current: tuple[ReportedRun, ...]
    earlier: tuple[ReportedRun, ...]

    @property
    def state(self) -> State:
        return min((run.state for run in self.current), key=_STATES.index)

    @property
    def failed(self) -> tuple[ReportedRun, ...]:
        """Those whose log is worth a look."""
        return tuple(run for run in self.current if run.state is State.FAILED)[:MOST_EXCERPTS]


def standing_of(runs: Collection[ReportedRun]) -> Standing:
    """Sort the runs of a subject, at least one.

    The newest commit is that of the event which arrived last, but for one that another event says it replaced: events
    may arrive in another order than they happened in.
    """
    in_order = sorted(runs, key=lambda run: (run.arrived_at, run.started_at), reverse=True)
    replaced = {run.replaced for run in in_order if run.replaced}
    newest = next((run.commit for run in in_order if run.commit not in replaced), in_order[0].commit)
    last: dict[tuple[str | None, str | None], ReportedRun] = {}
    for run in sorted(in_order, key=lambda run: run.started_at):
        last[run.commit, run.prompt] = run
    asked = {run.commit for run in last.values() if run.prompt is not None}
    kept = [
        run
        for run in in_order
        if last[run.commit, run.prompt] is run and (run.prompt is not None or run.commit not in asked)
    ]
    return Standing(
        current=tuple(run for run in kept if run.commit == newest)[:_MOST_CURRENT],
        earlier=tuple(run for run in kept if run.commit != newest)[:_MOST_EARLIER],
    )


def body(
    layout: Layout,
    settings: Settings,
    standing: Standing,
    excerpts: Mapping[UUID, str],
    *,
    about: str | None = None,
) -> str:
    """Return a whole report, of fewer than 20,000 characters.

    Args:
        excerpts: the telling lines of the logs of failed runs.
        about: the subject, where the place of the report does not say it.
    """
    write = _Words(layout, settings)
    parts = [
        write.heading(standing, about),
        write.listed(standing.current),
        *write.explained(standing, excerpts),
        write.advice(standing),
        write.folded(standing.earlier),
    ]
    return "\n\n".join(part for part in parts if part)


def blocks(settings: Settings, standing: Standing, *, about: str | None = None) -> list[dict[str, Any]]:
    """Return a report as Slack's blocks, with buttons to answer what waits for an approval; none when nothing does.

    The value of a button is the approval's id and the commit, with a colon between them.
    """
    waiting = [run for run in standing.current if run.state is State.WAITING and run.approval is not None]
    if not waiting:
        return []
    # Without logs, no line depends on another, and the text may be divided between any two.
    lines = body(Layout.SLACK, settings, standing, {}, about=about).split("\n")
    return [_section(text) for text in _packed(lines)] + [_buttons(run) for run in waiting]


def _packed(lines: Sequence[str]) -> list[str]:
    packed = [""]
    for line in lines:
        longer = f"{packed[-1]}\n{line}" if packed[-1] else line
        if len(longer) <= _SECTION_LIMIT:
            packed[-1] = longer
        else:
            packed.append(line[:_SECTION_LIMIT])
    return [text for text in packed if text.strip()]


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _buttons(run: ReportedRun) -> dict[str, Any]:
    prompt = one_line(visible(run.prompt or ""), _BUTTON_LIMIT - len("Approve "))
    return {
        "type": "actions",
        "block_id": f"contexten:{run.approval}",
        "elements": [
            {
                "type": "button",
                "action_id": action,
                "style": style,
                "value": f"{run.approval}:{run.commit}",
                "text": {"type": "plain_text", "text": f"{verb} {prompt}".strip(), "emoji": False},
            }
            for verb, action, style in (("Approve", APPROVE_BUTTON, "primary"), ("Refuse", REFUSE_BUTTON, "danger"))
        ],
    }


@dataclass(frozen=True, slots=True)
class _Words:
    layout: Layout
    settings: Settings

    def heading(self, standing: Standing, about: str | None) -> str:
        said = f"{_SIGNS[standing.state]} Contexten: {standing.state.value}"
        commit = standing.current[0].commit
        where = f" at {self._commit(commit)}" if commit else ""
        where += f" of {self._code(about, _NAME_LIMIT)}" if about else ""
        return f"*{said}*{where}" if self.layout is Layout.SLACK else f"### {said}{where}"

    def listed(self, runs: Sequence[ReportedRun]) -> str:
        if self.layout is not Layout.GITHUB:
            return "\n".join(self._item(run) for run in runs)
        rows = ["| Prompt | Commit | Result | Took | Cost | Run |", "| --- | --- | --- | --- | --- | --- |"]
        return "\n".join(rows + [self._row(run) for run in runs])

    def explained(self, standing: Standing, excerpts: Mapping[UUID, str]) -> list[str]:
        shown = {run.run_id for run in standing.failed} & excerpts.keys()
        limit = EXCERPT_LIMIT // max(len(shown), 1)
        parts = []
        for run in standing.current:
            if run.message:
                is_prose = run.state in (State.REFUSED, State.WAITING)
                parts.append(self._prose(run.message) if is_prose else self._code(run.message, _HEADLINE_LIMIT))
            if run.expected:
                parts.append(f"It is likely to take: {self._prose(run.expected)}.")
            parts += [f"⚠️ {self._prose(warning)}" for warning in run.warnings]
            if run.run_id in shown:
                parts.append(self._fenced(excerpts[run.run_id], limit))
        return parts

    def advice(self, standing: Standing) -> str:
        """Say what whoever reads it can do now; a command of the command line works wherever it was asked from."""
        run = next(run for run in standing.current if run.state is standing.state)
        match standing.state:
            case State.RUNNING:
                return f"To stop it, {self._asking('cancel')}."
            case State.WAITING:
                return f"Somebody with write access can approve it: {self._asking(f'approve {run.commit}')}."
            case State.REFUSED if run.approval is not None:
                return "Somebody with write access can push these commits to a branch of the repository itself."
        command = f"`contexten events replay {run.event_id}`"
        again, why = self._asking("rerun"), self._asking("explain")
        return f"To do it again, {again}, or run {command}. To see why it was chosen, {why}."

    def _asking(self, verb: str) -> str:
        return f"mention us with `{verb}`" if self.layout is Layout.SLACK else f"comment `/contexten {verb}`"

    def folded(self, runs: Sequence[ReportedRun]) -> str:
        if not runs:
            return ""
        if self.layout is Layout.GITHUB:
            return f"<details>\n<summary>Earlier commits</summary>\n\n{self.listed(runs)}\n\n</details>"
        return f"Earlier commits:\n\n{self.listed(runs)}"

    def _row(self, run: ReportedRun) -> str:
        cells = (
            self._prompt(run),
            self._commit(run.commit),
            f"{_SIGNS[run.state]} {run.state.value}",
            _took(run.seconds) or _NOTHING,
            _cost(run.cost) or _NOTHING,
            self._link(run),
        )
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    def _item(self, run: ReportedRun) -> str:
        took, cost = _took(run.seconds), _cost(run.cost)
        said = f"{run.state.value} in {took}" if took else run.state.value
        bullet = "•" if self.layout is Layout.SLACK else "-"
        cost = f", {cost}" if cost else ""
        return f"{bullet} {self._prompt(run)} at {self._commit(run.commit)}: {said}{cost} ({self._link(run)})"

    def _prompt(self, run: ReportedRun) -> str:
        return self._code(run.prompt, _NAME_LIMIT) if run.prompt else _NOTHING

    def _commit(self, commit: str | None) -> str:
        return self._code(commit[:_SHORT_COMMIT], _SHORT_COMMIT) if commit else _NOTHING

    def _link(self, run: ReportedRun) -> str:
        url = run_url(self.settings, run.run_id)
        return f"<{url}|run>" if self.layout is Layout.SLACK else f"[run]({url})"

    def _code(self, text: str, limit: int) -> str:
        """Return a text as one piece of code that cannot end early."""
        line = without_orders(one_line(visible(text[: 4 * limit]), limit)).replace("`", "'")
        if self.layout is Layout.SLACK:
            line = html.escape(line, quote=False)
        return f"`{line}`" if line else _NOTHING

    def _prose(self, text: str) -> str:
        return _NEUTRAL[self.layout](one_line(text, _REASON_LIMIT), limit=2 * _REASON_LIMIT)

    def _fenced(self, text: str, limit: int) -> str:
        fence = "`" * (1 + max((len(run) for run in _TICKS.findall(text)), default=2))
        return _NEUTRAL[self.layout](f"{fence}text\n{text}\n{fence}", limit=limit)


def _took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def _cost(cost: Cost) -> str:
    tokens = cost.tokens_in + cost.tokens_out
    said = [f"{cost.dollars:.4f} USD"] if cost.dollars else []
    return ", ".join([*said, f"{tokens:,} tokens"] if tokens else said)
