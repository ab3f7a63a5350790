"""What a run says about itself, where the people are who wait for it: when it begins, how it ended, why it was refused.

On the commit a status; on a pull request, a ticket or a thread one comment that every run of that subject edits, and a
reaction to the comment that asked. Each report is made whole from the database, one of a repository at a time, and
numbered in that order: whichever of two runs ends last, the last report knows of both.

A project's setting `comments` of `reports`, when it is false, leaves nothing but the statuses. Where a project has a
channel in Slack and names who may approve there, what waits for an approval is shown in that channel too, with buttons.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database
from contexten_core.db.locks import hold
from contexten_core.db.shared import once
from contexten_core.events import outbox_store, run_store, verbs_store
from contexten_core.events.claim import RunRef, normalised
from contexten_core.events.models import Conclusion, EffectStatus, EventProvider, RunModel
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import StepRecord
from contexten_core.integrations import report_store
from contexten_core.integrations.report_words import Layout, ReportedRun, blocks, body, standing_of
from contexten_core.integrations.statuses import COMMIT_STATUS, Effect, final_status, pending_status
from contexten_core.outputs.place import Place, place_of
from contexten_core.projects import store as project_store
from contexten_core.projects.target import Target
from contexten_core.security.encryption import Vault, open_vault
from contexten_core.security.redaction import Redactor, redactor_of
from contexten_core.security.text import one_line
from contexten_core.settings import Settings
from contexten_core.tasks.models import ApprovalModel
from contexten_core.tasks.outcome import Outcome

_LAYOUTS = dict(zip(report_store.KINDS, (Layout.GITHUB, Layout.LINEAR, Layout.SLACK), strict=True))
_STARTED, _FINISHED, _REFUSED, _APPROVAL = "started", "finished", "refused", "approval"
OUR_WORDS = (f":{_STARTED}", f":{_FINISHED}", f":{_REFUSED}", f"-{_APPROVAL}", ":answer")
"""How the keys of the effects end by which runs speak of themselves."""

_SEEN = "eyes"
_CHANNEL = re.compile(r"[A-Z][A-Z0-9]{1,30}")
_SLACK_MESSAGES = frozenset({"app_mention", "message"})
_SHORT_COMMIT = 12
_STATUS_LIMIT = 140
_TOLD_LIMIT = 500
_MICROSECONDS = 1_000_000


class Voice(Protocol):
    """What a process needs to report; a `Runtime` has it."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def redactor(self) -> Redactor: ...
    @property
    def vault(self) -> Vault: ...


@dataclass(frozen=True, slots=True)
class _Voice:
    settings: Settings
    database: Database
    redactor: Redactor
    vault: Vault


def voice_of(settings: Settings, database: Database) -> Voice:
    """Return what a process without a `Runtime` reports with."""
    return _Voice(settings, database, redactor_of(settings), open_vault(settings))


@dataclass(frozen=True, slots=True)
class Sticky:
    """The one thing of ours that is edited at a place: what kind of effect that is, and its content but for the text.

    `content["post"]` names it, and its effects leave one after another.

    Attributes:
        about: what it is about, where the place does not say that.
    """

    kind: str
    content: Mapping[str, Any]
    about: str | None = None

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
        await _speak_for_superseded(session, record, target, prompt)
    spot = await _spot(session, runtime, run.run_id, event, target)
    if spot is None:
        return
    if (reaction := reaction_at(runtime.settings, spot.place, event, run)) is not None:
        await outbox_store.enqueue(session, **asdict(reaction))
    stickies = await _stickies(session, spot, event_id=run.event_id)
    await _say(session, runtime, run.run_id, stickies, moment=_STARTED, prompt=prompt)


async def _speak_for_superseded(session: AsyncSession, record: StepRecord, target: Target, prompt: str) -> None:
    """Give the commits their final status whose runs never came to say anything, because of this one."""
    run = await record.model(session)
    # One that had to be approved has them from the run that asked for that.
    runs = [run] if run.attempt == 1 else await run_store.of_event(session, run.event_id)
    silent = [UUID(cause["run_id"]) for each in runs for cause in each.causes or ()]
    if not silent:
        return
    effects: dict[str, Effect] = {}
    for run_id, event in await report_store.superseded(session, silent):
        commit = normalised(event).commit
        if commit is not None and commit != target.commit:
            effect = final_status(
                record.runtime.settings,
                replace(record.run, run_id=run_id),
                replace(target, commit=commit),
                prompt,
                conclusion=Conclusion.ERROR,
                description=superseded_by(target.commit),
            )
            effects[effect.stream] = effect
    spoken = await report_store.spoken(session, effects.keys())
    for stream, effect in effects.items():
        if stream not in spoken:
            await outbox_store.enqueue(session, **asdict(effect))


def superseded_by(commit: str) -> str:
    """Return what is said on a commit whose run was made pointless by that of another commit."""
    return f"Superseded by {commit[:_SHORT_COMMIT]}"


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


async def broken(session: AsyncSession, voice: Voice, run_id: UUID, *, told: str) -> None:
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
        await _say(session, voice, run_id, stickies, moment=_FINISHED)


async def refused(session: AsyncSession, voice: Voice, run_id: UUID, *, moment: str = _REFUSED) -> None:
    """Say where it was asked for why a run does nothing, or that it waits for an approval, or how that was answered.

    Args:
        moment: a word for what has changed; of each it is said once.

    Raises:
        ConfigurationError: a setting of its project was encrypted with another key.
    """
    run = await run_store.get(session, run_id)
    target = None if run is None else await _target_of(session, voice, run)
    if run is None or target is None:
        return
    event = normalised(await run_store.event_of(session, run_id))
    spot = await _spot(session, voice, run_id, event, target)
    if spot is not None:
        await _say(session, voice, run_id, await _stickies(session, spot, event_id=run.event_id), moment=moment)


async def answered(session: AsyncSession, voice: Voice, approval: ApprovalModel) -> None:
    """Say how an approval stands now: that it was given, refused, has expired or is void.

    Raises:
        ConfigurationError: a setting of its project was encrypted with another key.
    """
    await session.flush()
    run = await run_store.latest_of(session, approval.event_id)
    if run is not None:
        await refused(session, voice, run.id, moment=f"{approval.status.value}-{_APPROVAL}")


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


def asking_in(config: Mapping[tuple[str, str], Any], event: NormalisedEvent) -> Sticky | None:
    """Return the message that asks for approvals of a pull request in a project's channel in Slack.

    None where the project has no channel, or nobody's word counts there.
    """
    channels, approvers = config.get(("slack", "channel")), config.get((verbs_store.APPROVERS, EventProvider.SLACK))
    channel = channels[0] if isinstance(channels, list) and channels else channels
    if event.provider is not EventProvider.GITHUB or event.subject is None or not isinstance(channel, str):
        return None
    if _CHANNEL.fullmatch(channel) is None or not isinstance(approvers, list) or not approvers:
        return None
    content = {"channel": channel, "thread_ts": None, "post": f"slack:{channel}:approvals:{event.subject.lower()}"}
    return Sticky("slack.message", content, about=event.subject)


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


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a run may be talked about, what is edited there, and what asks for its approval elsewhere."""

    place: Place
    sticky: Sticky | None
    asking: Sticky | None


async def _spot(
    session: AsyncSession, voice: Voice, run_id: UUID, event: NormalisedEvent, target: Target
) -> _Spot | None:
    """Return where a run may be talked about; None where that is nowhere, or not wanted."""
    if event.provider is EventProvider.GITHUB and event.number is None:
        return None
    environment = voice.settings.environment.value
    config = await project_store.config(session, target.project_id, environment=environment)
    if config.get(("reports", "comments")) is False:
        return None
    stored = await run_store.event_of(session, run_id)
    place = place_of(event, target, stored.payload)
    sticky = sticky_at(voice.settings, place, event)
    return _Spot(place, sticky, None if sticky is None else asking_in(config, event))


async def _stickies(session: AsyncSession, spot: _Spot, *, event_id: UUID) -> list[Sticky]:
    """Return what is edited; the message that asks for approvals once one has been asked for."""
    found = [spot.sticky] if spot.sticky is not None else []
    if spot.asking is not None and (
        await report_store.is_waiting(session, event_id) or await report_store.last_content(session, spot.asking.stream)
    ):
        found.append(spot.asking)
    return found


async def _target_of(session: AsyncSession, voice: Voice, run: RunModel) -> Target | None:
    """Return what a run would work on, of one that found out where it belongs and went no further."""
    repository = await project_store.get_repository(session, run.repository_id) if run.repository_id else None
    project = await project_store.get(session, run.project_id) if run.project_id else None
    if repository is None or project is None:
        return None
    environment = voice.settings.environment.value
    config = await project_store.config(session, project.id, vault=voice.vault, environment=environment)
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
        Sticky(effect.kind, effect.content, about=effect.content.get("about"))
        for effect in await outbox_store.of_run(session, run_id)
        if effect.kind in _LAYOUTS and effect.effect_key == f"{run_id}:{effect.kind}:{_STARTED}"
    ]


async def _say(
    session: AsyncSession,
    voice: Voice,
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
    # What is read from here on holds until this transaction ends: no other report of the subject is made meanwhile.
    await hold(session, f"report:{run.repository_id}:{run.subject}")
    now = await once(session, "now", ask=lambda: voice.database.now(session))
    runs = [
        _redacted(voice, replace(found, prompt=found.prompt or prompt) if found.run_id == run_id else found)
        for found in await report_store.runs_about(session, run, now=now)
    ]
    standing = standing_of(runs)
    logs = await report_store.excerpts(session, [failed.run_id for failed in standing.failed])
    logs = {failed: voice.redactor.redact(text) for failed, text in logs.items()}
    said = False
    for sticky in stickies:
        layout = _LAYOUTS[sticky.kind]
        last = await report_store.last_content(session, sticky.stream)
        text = body(layout, voice.settings, standing, logs, about=sticky.about)
        said_now: dict[str, Any] = {"body": text}
        if layout is Layout.SLACK:
            # Without blocks it says so: what is left out stays as it was.
            said_now = {"text": text, "blocks": blocks(voice.settings, standing, about=sticky.about)}
        if sticky.about is not None:
            said_now["about"] = sticky.about
        # By the database's clock, which may be set back.
        sequence = max(int(now.timestamp() * _MICROSECONDS), int(last.get("sequence", 0)) + 1)
        said |= await outbox_store.enqueue(
            session,
            kind=sticky.kind,
            effect_key=f"{run_id}:{sticky.kind}:{moment}",
            stream=sticky.stream,
            position=0,
            content={**sticky.content, **said_now, "sequence": sequence},
            run_id=run_id,
        )
    return said


def _redacted(voice: Voice, run: ReportedRun) -> ReportedRun:
    return replace(run, message=voice.redactor.redact(run.message)) if run.message else run
