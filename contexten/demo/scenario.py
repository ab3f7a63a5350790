"""What the demo sends, and what has to come of it."""

from dataclasses import dataclass
from datetime import datetime

from contexten.emulators.repositories import DemoRepositories, DemoRepository
from contexten.emulators.sender import GitHubDelivery, pull_request_payload, push_payload
from contexten_core.events.models import Conclusion

FAILING_TEST = "test_total_rounds_to_the_cent"
_PERSON = "mona"
_PULL_REQUEST = 12


@dataclass(frozen=True, slots=True)
class Act:
    """One signed event and its expected outcome; `mentions` must stand in the final status's description."""

    title: str
    delivery: GitHubDelivery
    repository: DemoRepository
    commit: str
    conclusion: Conclusion
    mentions: str = ""


def acts(repositories: DemoRepositories, *, now: datetime) -> list[Act]:
    """Return the three acts. `now` is in the deliveries, so that a later demo sends new ones of the same commits."""
    thermometer, cashbox = repositories.thermometer, repositories.cashbox
    return [
        Act(
            title=f"push to {thermometer.full_name}, whose tests pass",
            delivery=_push(thermometer, now),
            repository=thermometer,
            commit=thermometer.head,
            conclusion=Conclusion.SUCCESS,
        ),
        Act(
            title=f"push to {cashbox.full_name}, which breaks a test",
            delivery=_push(cashbox, now),
            repository=cashbox,
            commit=cashbox.head,
            conclusion=Conclusion.FAILURE,
            mentions=FAILING_TEST,
        ),
        Act(
            title=f"pull request #{_PULL_REQUEST} of {thermometer.full_name}",
            delivery=GitHubDelivery(
                event="pull_request",
                payload=pull_request_payload(
                    thermometer.full_name,
                    _PULL_REQUEST,
                    "synchronize",
                    thermometer.branch_head,
                    thermometer.head,
                    thermometer.branch,
                    thermometer.branch_message,
                    _PERSON,
                    before=thermometer.head,
                    at=now,
                ),
            ),
            repository=thermometer,
            commit=thermometer.branch_head,
            conclusion=Conclusion.SUCCESS,
        ),
    ]


def _push(repository: DemoRepository, now: datetime) -> GitHubDelivery:
    payload = push_payload(
        repository.full_name,
        repository.parent,
        repository.head,
        f"refs/heads/{repository.default_branch}",
        repository.head_message,
        _PERSON,
        now,
    )
    return GitHubDelivery(event="push", payload=payload)
