from datetime import datetime
from uuid import UUID

from prefect import task

from contexten_core.events.recover import recover
from contexten_core.events.recovery_result import RecoveryResult
from contexten_core.runtime import current_runtime
from tasks.policy import POLICY


@task(name="recover-deliveries", **POLICY)
async def recover_deliveries(flow_run_id: UUID, scheduled_at: datetime) -> RecoveryResult:
    """Have GitHub send again what it could not hand over and we do not hold."""
    async with current_runtime() as runtime:
        return await recover(runtime, flow_run_id=flow_run_id, scheduled_at=scheduled_at)
