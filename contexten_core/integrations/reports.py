"""What a run says about itself, where the people are who wait for it: when it begins, how it ended, why it was refused.

On the commit a status; on a pull request, a ticket or a thread one comment that every run of that subject edits, and a
reaction to the comment that asked. Each report is made whole from the database, one of a repository at a time, and
numbered in that order: whichever of two runs ends last, the last report knows of both.

A project's setting `comments` of `reports`, when it is false, leaves nothing but the statuses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events import outbox_store, run_store
from contexten_core.events.claim import RunRef, normalised
from contexten_core.events.models import EffectStatus, EventProvider, RunModel
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import StepRecord
from contexten_core.integrations import report_store
from contexten_core.integrations.report_words import Layout, ReportedRun, body, standing_of
from contexten_core.integrations.statuses import COMMIT_STATUS, Effect, final_status, pending_status
from contexten_core.outputs.place import Place, place_of
from contexten_core.projects import store as project_store
from contexten_core.projects.resolve import Target
from contexten_core.runtime import Runtime
from contexten_core.security.text import one_line
from contexten_core.settings import Settings
from contexten_core.tasks.outcome import Outcome

_LAYOUTS = {"github.sticky": Layout.GITHUB, "linear.sticky": Layout.LINEAR, "slack.message": Layout.SLACK}
_STARTED, _FINISHED = "started", "finished"
_SEEN = "eyes"
_SLACK_MESSAGES = frozenset({"app_mention", "message"})
_STATUS_LIMIT = 140
_TOLD_LIMIT = 500
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Sticky:
    """The one thing of ours that is edited at a place: what kind of effect that is, and its content but for the text.

    `content["post"]` names it, and its effects leave one after another.
    """

    kind: str
    content: Mapping[str, Any]

    @property
    def stream(self) -> str:
        return str(self.content["post"])


async def announce(
    session: AsyncSession, record: StepRecord, event: NormalisedEvent, target: Target, *, prompt: str
) -> None:
    """Say that a run has begun, and which prompt it is carried out by."""
    runtime, run = record.runtime, record.run
    if target.commit_status:
        await outbox_store.enqueue(session, **asdict(pending_status(runtime.settings, run, target, prompt)))
    place = await _place(session, runtime, run.run_id, event, target)
    if place is None:
        return
    if (reaction := reaction_at(runtime.settings, place, event, run)) is not None:
        await outbox_store.enqueue(session, **asdict(reaction))
    if (sticky := sticky_at(runtime.settings, place, event)) is not None:
        await _say(session, runtime, run.run_id, [sticky], moment=_STARTED, prompt=prompt)


async def conclude(
    session: AsyncSession, record: StepRecord, target: Target, outcome: Outcome, *, prompt: str
) -> tuple[bool, str]:
    """Say how a run ended; return whether that was not said before, and the line that a commit status has room for."""
    runtime, run = record.runtime, record.run
    await record.prove(session)
    effect = final_status(
        runtime.settings,
        run,
        target,
        prompt,
        conclusion=outcome.conclusion,
        description=runtime.redactor.redact(outcome.headline),
    )
    is_new = target.commit_status and await outbox_store.enqueue(session, **asdict(effect))
    said = await _say(session, runtime, run.run_id, await _begun(session, run.run_id), moment=_FINISHED)
    return is_new or said, effect.content["description"]


async def broken(session: AsyncSession, runtime: Runtime, run_id: UUID, *, told: str) -> None:
    """Say that a run broke, wherever it said that it had begun and has not said how it ended.

    Args:
        told: what anybody may read.
    """
    for effect in await outbox_store.of_run(session, run_id, kind=COMMIT_STATUS):
        if effect.content.get("state") == "pending" and effect.status is not EffectStatus.WITHHELD:
            await outbox_store.enqueue(
                session,
                kind=effect.kind,
                effect_key=f"{run_id}:commit_status:final",
                stream=effect.stream,
                position=1,
                run_id=run_id,
                content={**effect.content, "state": "error", "description": one_line(told, _STATUS_LIMIT)},
            )
    stickies = await _begun(session, run_id)
    run = await run_store.get(session, run_id)
    if stickies and run is not None:
        run.metadata_ = {**(run.metadata_ or {}), report_store.TOLD: one_line(told, _TOLD_LIMIT)}
        await _say(session, runtime, run_id, stickies, moment=_FINISHED)


async def refused(session: AsyncSession, runtime: Runtime, run_id: UUID, *, moment: str = "refused") -> None:
    """Say where it was asked for why a run does nothing, or that it waits for an approval, or how that was answered.

    Args:
        moment: a word for what has changed; of each it is said once.

    Raises:
        ConfigurationError: a setting of its project was encrypted with another key.
    """
    run = await run_store.get(session, run_id)
    target = None if run is None else await _target_of(session, runtime, run)
    if target is None:
        return
    event = normalised(await run_store.event_of(session, run_id))
    place = await _place(session, runtime, run_id, event, target)
    sticky = None if place is None else sticky_at(runtime.settings, place, event)
    if sticky is not None:
        await _say(session, runtime, run_id, [sticky], moment=moment)


def sticky_at(settings: Settings, place: Place, event: NormalisedEvent) -> Sticky | None:
    """Return what is edited at a place; None where nothing is: at a push, say."""
    match place.provider:
        case EventProvider.GITHUB:
            is_about = event.subject == f"{event.repository}#{place.number}"
            is_asked = place.is_pull_request or place.comment_id is not None
            if place.repository is None or place.number is None or not is_about or not is_asked:
                return None
            post = f"github:{place.repository.lower()}#{place.number}"
            content = _github(settings, place) | {"number": place.number, "post": post}
            return Sticky("github.sticky", content)
        case EventProvider.LINEAR if place.issue_id is not None:
            return Sticky("linear.sticky", {"issue_id": place.issue_id, "post": f"linear:{place.issue_id}"})
        case EventProvider.SLACK if place.channel is not None and place.thread is not None:
            post = f"slack:{place.channel}:{place.thread}:{event.subject}"
            content = {"channel": place.channel, "thread_ts": place.thread, "post": post}
            return Sticky("slack.message", content)
    return None


def reaction_at(settings: Settings, place: Place, event: NormalisedEvent, run: RunRef) -> Effect | None:
    """Return the reaction to the comment or message that an event is, if it is one."""
    match place.provider:
        case EventProvider.GITHUB if place.comment_id is not None:
            comment = {"comment_id": place.comment_id, "comment_kind": place.comment_kind, "content": _SEEN}
            kind, content = "github.reaction", _github(settings, place) | comment
        case EventProvider.LINEAR if place.message is not None and event.type == "Comment":
            kind, content = "linear.reaction", {"comment_id": place.message, "emoji": _SEEN}
        case EventProvider.SLACK if place.message is not None and event.type in _SLACK_MESSAGES:
            kind, content = "slack.reaction", {"channel": place.channel, "ts": place.message, "name": _SEEN}
        case _:
            return None
    # One for the event, however often it is handled.
    key = f"{run.event_id}:{kind}"
    return Effect(kind, effect_key=key, stream=key, position=0, content=content, run_id=run.run_id)


def _github(settings: Settings, place: Place) -> dict[str, Any]:
    return {"api_url": place.api_url or settings.github_api_url, "repository": place.repository}


async def _place(
    session: AsyncSession, runtime: Runtime, run_id: UUID, event: NormalisedEvent, target: Target
) -> Place | None:
    """Return where a run may be talked about; None where that is nowhere, or not wanted."""
    if event.provider is EventProvider.GITHUB and event.number is None:
        return None
    environment = runtime.settings.environment.value
    config = await project_store.config(session, target.project_id, environment=environment)
    if config.get(("reports", "comments")) is False:
        return None
    stored = await run_store.event_of(session, run_id)
    return place_of(event, target, stored.payload)


async def _target_of(session: AsyncSession, runtime: Runtime, run: RunModel) -> Target | None:
    """Return what a run would work on, of one that found out where it belongs and went no further."""
    repository = await project_store.get_repository(session, run.repository_id) if run.repository_id else None
    project = await project_store.get(session, run.project_id) if run.project_id else None
    if repository is None or project is None:
        return None
    environment = runtime.settings.environment.value
    config = await project_store.config(session, project.id, vault=runtime.vault, environment=environment)
    return Target(
        project_id=project.id,
        project_slug=project.slug,
        project_name=project.name,
        repository_id=repository.id,
        repository=repository.full_name,
        clone_url=repository.clone_url or "",
        default_branch=repository.default_branch,
        commit=run.commit_sha or "",
        ref=None,
        allow_local=False,
        api_url=config.get(("github", "api_url")),
    )


async def _begun(session: AsyncSession, run_id: UUID) -> list[Sticky]:
    """Return what a run has begun to say, in effects of its own."""
    return [
        Sticky(effect.kind, effect.content)
        for effect in await outbox_store.of_run(session, run_id)
        if effect.kind in _LAYOUTS and effect.effect_key == f"{run_id}:{effect.kind}:{_STARTED}"
    ]


async def _say(
    session: AsyncSession,
    runtime: Runtime,
    run_id: UUID,
    stickies: Sequence[Sticky],
    *,
    moment: str,
    prompt: str | None = None,
) -> bool:
    """Write down the report of a run's subject as it is now; return whether this moment's was not written before.

    Args:
        prompt: the one that was selected, while the step that says so is not complete.
    """
    run = await run_store.get(session, run_id)
    if run is None or run.repository_id is None or not stickies:
        return False
    # What is read from here on holds until this transaction ends: no other report of the repository is made meanwhile.
    await project_store.get_repository(session, run.repository_id, lock=True)
    now = await runtime.database.now(session)
    runs = [
        _redacted(runtime, replace(found, prompt=found.prompt or prompt) if found.run_id == run_id else found)
        for found in await report_store.runs_about(session, run, kinds=_LAYOUTS.keys(), now=now)
    ]
    standing = standing_of(runs)
    logs = await report_store.excerpts(session, [failed.run_id for failed in standing.failed])
    logs = {failed: runtime.redactor.redact(text) for failed, text in logs.items()}
    said = False
    for sticky in stickies:
        layout = _LAYOUTS[sticky.kind]
        last = await report_store.last_content(session, sticky.stream)
        text = {"text" if layout is Layout.SLACK else "body": body(layout, runtime.settings, standing, logs)}
        # By the database's clock, which may be set back.
        sequence = max(int(now.timestamp() * _MICROSECONDS), int(last.get("sequence", 0)) + 1)
        said |= await outbox_store.enqueue(
            session,
            kind=sticky.kind,
            effect_key=f"{run_id}:{sticky.kind}:{moment}",
            stream=sticky.stream,
            position=0,
            content={**sticky.content, **text, "sequence": sequence},
            run_id=run_id,
        )
    return said


def _redacted(runtime: Runtime, run: ReportedRun) -> ReportedRun:
    return replace(run, message=runtime.redactor.redact(run.message)) if run.message else run
