"""What people ask for in Slack and at Linear; at GitHub see tests/component/tasks/test_approve.py."""

import json
from typing import TYPE_CHECKING, Any

from contexten_core.events import keep
from contexten_core.events.delivery import Delivery
from contexten_core.events.finish import Ignored
from contexten_core.events.models import EventProvider, OutboxModel
from contexten_core.projects import store

if TYPE_CHECKING:
    from tests.component.conftest import Worker


async def _say(
    worker: "Worker", provider: EventProvider, event_type: str, payload: dict[str, Any]
) -> tuple[str, list[OutboxModel]]:
    body = json.dumps(payload).encode()
    await keep.write(worker.database, [Delivery(provider, event_type, payload, {}, "application/json", body, body)])
    run = await worker.claim()
    found = await worker.resolve(run, await worker.ingest(run))
    assert isinstance(found, Ignored)
    return found.reason, (await worker.history(run)).effects


async def _project(worker: "Worker", **settings: Any) -> None:
    await worker.add_project("acme/cashbox")
    async with worker.database.transaction() as session:
        (project,) = await store.newest(session, limit=1)
        for name, value in settings.items():
            kind, key = name.split("__")
            await store.set_config(session, project_id=project.id, config_type=kind, key=key, value=value)


def _mention(text: str, *, user: str = "U1") -> dict[str, Any]:
    return {"event": {"type": "app_mention", "channel": "C1", "user": user, "ts": "17.5", "text": f"<@U0BOT> {text}"}}


async def test_who_is_listed_is_answered_in_slack(worker: "Worker") -> None:
    await _project(worker, slack__channel="C1", approvers__slack=["U1"])
    reason, effects = await _say(worker, EventProvider.SLACK, "app_mention", _mention("approve 4d1c2b3"))

    assert reason.startswith("/contexten approve 4d1c2b3 by U1: nothing waits for an approval of 4d1c2b3")
    reaction, message = effects
    assert (reaction.kind, reaction.content) == ("slack.reaction", {"channel": "C1", "ts": "17.5", "name": "x"})
    assert (message.kind, message.content["thread_ts"]) == ("slack.message", "17.5")
    assert message.content["text"].startswith("`/contexten approve 4d1c2b3`: `nothing waits")


async def test_who_is_not_listed_gets_no_words(worker: "Worker") -> None:
    await _project(worker, slack__channel="C1", approvers__slack=["U1"])
    reason, effects = await _say(worker, EventProvider.SLACK, "app_mention", _mention("rerun", user="U2"))

    assert reason == ("/contexten rerun by U2: not permitted; the project's setting slack of approvers lists who may")
    assert [effect.kind for effect in effects] == ["slack.reaction"]


async def test_a_name_at_linear_is_no_id(worker: "Worker") -> None:
    await _project(worker, linear__team="ENG", approvers__linear=["user-1"])
    payload = {
        "action": "create",
        "type": "Comment",
        "actor": {"id": "user-2", "name": "user-1", "type": "user"},
        "data": {"body": "/contexten rerun", "issueId": "issue-1", "issue": {"identifier": "ENG-12"}},
    }
    refused, none = await _say(worker, EventProvider.LINEAR, "Comment", payload)
    by_id = {**payload, "actor": {"id": "user-1", "name": "Mona", "type": "user"}}
    said, answered = await _say(worker, EventProvider.LINEAR, "Comment", by_id)

    assert "not permitted" in refused
    assert none == []
    assert said == "/contexten rerun by Mona: nothing has been carried out for ENG-12 yet"
    (answer,) = answered
    assert (answer.kind, answer.content["issue_id"]) == ("linear.comment", "issue-1")
