"""Events that did not happen, for trying handlers out."""

import time
from collections.abc import Mapping
from typing import Any

from contexten.handlers.provider import ProviderHandlers
from contexten_core.events.inputs import EventLog
from contexten_core.events.log import log_event
from contexten_core.events.models import SIMULATED, EventStatus
from contexten_core.inputs import checked
from contexten_core.orchestrator import SystemOrchestrator


async def simulate(
    orchestrator: SystemOrchestrator, handlers: ProviderHandlers, *, event_type: str, payload: Mapping[str, Any]
) -> Any:
    """Store an event, call every function that matches it, and return their answer as `ProviderHandlers.handle` does.

    Raises:
        InvalidInputError: a type or payload that no database could hold.
        Exception: whatever a function raised, after all have run; an ExceptionGroup where several did.
    """
    name, given = handlers.named(payload, event_type)
    data = checked(
        EventLog,
        {
            "event_type": name,
            "provider": handlers.provider,
            "payload": dict(given),
            "external_id": f"{SIMULATED}{time.time_ns()}",
            "status": EventStatus.COMPLETED,
        },
    )
    async with orchestrator.database.transaction() as session:
        event = await log_event(session, data)
        rows = orchestrator.runner.hold(session, event)
    return handlers.answer(await orchestrator.runner.call(event, rows))
