"""Step 1: read the stored payload, and put on the event what it says."""

from contexten_core.events import run_store
from contexten_core.events.claim import normalised
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import StepRecord


async def ingest(record: StepRecord) -> NormalisedEvent:
    """Return the event in our words, after storing its title, subject, actor, repository and link on its row."""
    async with record.runtime.database.transaction() as session:
        event = await run_store.event_of(session, record.run.run_id)
        said = normalised(event)
        event.title = said.title or said.name
        event.subject = said.subject
        event.source_user = said.actor
        event.source_repository = said.repository
        event.source_url = said.url
        return await record.complete(session, said)
