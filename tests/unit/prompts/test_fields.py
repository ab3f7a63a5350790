from dataclasses import fields as fields_of
from uuid import UUID

import pytest

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.projects.resolve import Target
from contexten_core.prompts.conditions import is_looked_up, look_up
from contexten_core.prompts.fields import EVENT_TYPES, FIELDS, FieldType, actions_of, known_fields

TARGET = Target(
    project_id=UUID(int=1),
    project_slug="acme-cashbox",
    project_name="acme/cashbox",
    repository_id=UUID(int=2),
    repository="acme/cashbox",
    clone_url="https://github.com/acme/cashbox.git",
    default_branch="main",
    commit="ab" * 20,
    ref="refs/heads/main",
    allow_local=False,
    api_url=None,
)
EVENT = NormalisedEvent(type="push", name="acme/cashbox main push", branch="main", number=7)


def test_conditions_can_ask_about_event_project_and_repository() -> None:
    fields = known_fields(EVENT, TARGET)

    assert (fields["event"]["type"], fields["event"]["provider"]) == ("push", "github")
    assert fields["project"] == {"slug": "acme-cashbox", "name": "acme/cashbox"}
    assert fields["repository"] == {"full_name": "acme/cashbox", "default_branch": "main"}


def test_code_is_among_the_fields_only_once_it_was_looked_up() -> None:
    assert not is_looked_up("codebase.files", known_fields(EVENT, TARGET))

    fields = known_fields(EVENT, TARGET, code={"files": 3}, change={})
    assert look_up(fields, "codebase.files") == 3
    assert is_looked_up("change.risk", fields)


def test_every_part_of_an_event_is_described() -> None:
    described = {path.removeprefix("event.") for path in FIELDS if path.startswith("event.")}

    assert described == {field.name for field in fields_of(NormalisedEvent)}


@pytest.mark.parametrize(
    ("path", "kind", "values"),
    [
        ("event.provider", FieldType.TEXT, frozenset(provider.value for provider in EventProvider)),
        ("event.number", FieldType.NUMBER, None),
        ("event.from_fork", FieldType.BOOLEAN, None),
        ("change.paths", FieldType.LIST, None),
    ],
)
def test_a_field_says_its_type_and_what_it_can_be(path: str, kind: FieldType, values: frozenset[str] | None) -> None:
    assert (FIELDS[path].type, FIELDS[path].values) == (kind, values)
    assert FIELDS[path].description


def test_a_language_is_called_as_the_analysis_calls_it() -> None:
    assert {"python", "rust"} <= {name.lower() for name in FIELDS["codebase.primary_language"].values or ()}


def test_types_and_actions_are_known_where_they_are_a_closed_set() -> None:
    assert "pull_request" in EVENT_TYPES[EventProvider.GITHUB]
    assert EventProvider.DEPLOYMENT not in EVENT_TYPES
    assert actions_of(EventProvider.GITHUB, "commit_comment") == frozenset({"created"})
    assert actions_of(EventProvider.GITHUB, "push") == frozenset()
    assert actions_of(EventProvider.GITHUB, "repository_dispatch") is None
    assert actions_of(EventProvider.SLACK, "app_mention") is None
