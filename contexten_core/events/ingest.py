"""Step 1: read the stored payload, and put on the event what it says."""

import re
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.errors import MalformedPayloadError
from contexten_core.events import run_store, store
from contexten_core.events.claim import normalised
from contexten_core.events.models import EventModel, EventProvider
from contexten_core.events.normalise import NormalisedEvent, Own
from contexten_core.events.normalise_slack import slack_event_type
from contexten_core.events.receive_body import UNKNOWN, Content, read_form, read_json
from contexten_core.events.receive_deployment import DEPLOYMENT
from contexten_core.events.steps import StepRecord

_EVENT_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


async def ingest(record: StepRecord) -> NormalisedEvent:
    """Return the event in our words, after storing its title, subject, actor, repository and link on its row.

    The bytes of an event that was parked, because its body could not be read, are read again.

    Raises:
        MalformedPayloadError: they still cannot be; the event is parked again.
        ConfigurationError: they were encrypted with another key than today's.
    """
    async with record.runtime.database.transaction() as session:
        event = await run_store.event_of(session, record.run.run_id)
        problem = None if event.payload else await _read_again(session, record, event)
        if problem is None:
            said = normalised(event, own=Own.of(record.runtime.settings))
            event.title = said.title or said.name
            event.subject = said.subject
            event.source_user = said.actor
            event.source_repository = said.repository
            event.source_url = said.url
            return await record.complete(session, said)
        await record.prove(session)
        event.parked_at = utc_now()
    raise MalformedPayloadError(problem, hint="the bytes are kept: replay the event once they can be read")


async def _read_again(session: AsyncSession, record: StepRecord, event: EventModel) -> str | None:
    """Read a delivery that has no payload from its bytes, and return why that cannot be done, if it cannot."""
    raw = await store.raw_payload(session, event.id, vault=record.runtime.vault)
    if raw is None:
        return None
    content = _content(event, raw)
    event_type = _event_type(event, content.payload)
    if content.problem or event_type is None:
        return content.problem or "the body has no type that says what it is about"
    event.payload, event.event_type, event.parked_at = content.payload, event_type, None
    run = await record.model(session)
    said = normalised(event)
    run.name, run.subject = said.name, said.subject
    return None


def _content(event: EventModel, body: bytes) -> Content:
    if event.provider is not EventProvider.SLACK or body.lstrip().startswith(b"{"):
        return read_json(body)
    try:
        fields: dict[str, Any] = dict(read_form(body))
    except MalformedPayloadError as error:
        return Content({}, error.message)
    return read_json(fields["payload"].encode()) if "payload" in fields else Content(fields)


def _event_type(event: EventModel, payload: dict[str, Any]) -> str | None:
    match event.provider:
        case EventProvider.SLACK:
            found: Any = slack_event_type(payload)
        case EventProvider.LINEAR:
            found = payload.get("type")
        case EventProvider.DEPLOYMENT:
            kept = DEPLOYMENT if event.event_type == UNKNOWN else event.event_type
            found = payload.get("type") or payload.get("event") or kept
        case _:
            return event.event_type
    return found if isinstance(found, str) and _EVENT_TYPE.fullmatch(found) else None
