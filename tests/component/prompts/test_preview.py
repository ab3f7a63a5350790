"""What a prompt would say about a stored event: in Python, at the command line, over HTTP."""

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import typer
from typer.testing import CliRunner

from contexten.cli import prompts_preview
from contexten_core.errors import InvalidInputError, NotFoundError
from contexten_core.prompts.files import write_prompt_file
from contexten_core.prompts.preview import Preview, preview
from contexten_core.prompts.spec import PromptSpec, TemplateSpec
from contexten_core.prompts.templates.render import Renderer, TemplateError
from contexten_core.prompts.versions import save_spec
from contexten_core.settings import DatabaseConfig, get_settings

if TYPE_CHECKING:
    from tests.component.conftest import Push, Worker

SPEC = PromptSpec(
    slug="greet",
    name="Greet",
    template="{{ event.actor }} pushed to {{ repository.full_name }}.",
    templates=(TemplateSpec("python", "{{ event.type }} of Python", language="Python"),),
)


async def stored(worker: "Worker", *specs: PromptSpec) -> None:
    async with worker.database.transaction() as session:
        for spec in specs:
            await save_spec(session, spec, author="mara", message="Say it")


async def shown(worker: "Worker", prompt: PromptSpec | str, **given: Any) -> Preview:
    async with worker.database.reading() as session, Renderer() as renderer:
        return await preview(session, renderer, prompt=prompt, **given)


async def test_an_event_is_shown_with_what_its_run_found_out(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox", clone_url="https://github.com/acme/cashbox.git")
    await stored(worker, SPEC)
    run = await worker.take_on(push())
    before = await shown(worker, "greet", event_id=run.event_id)
    assert (before.rendered.text, before.absent) == ("jonas pushed to .", ("repository.full_name",))
    assert before.notes == ("the event has not been resolved to a project yet",)

    await worker.resolve(run, await worker.ingest(run))
    after = await shown(worker, "greet@1", event_id=run.event_id)
    assert (after.slug, after.version, after.absent, after.notes) == ("greet", 1, (), ())
    assert after.rendered.text == "jonas pushed to acme/cashbox."


async def test_an_event_that_was_ignored_says_why_fields_are_missing(worker: "Worker", push: "Push") -> None:
    run = await worker.take_on(push())
    await worker.resolve(run, await worker.ingest(run))
    found = await shown(worker, SPEC, event_id=run.event_id)
    assert found.version is None
    assert found.notes[0].startswith("no project has the repository acme/cashbox")


@pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
async def test_given_fields_come_before_those_of_the_event(worker: "Worker", push: "Push") -> None:
    event_id = await worker.receive(push())
    fields = {"event.actor": "mara", "repository.full_name": "a/b"}
    assert (await shown(worker, SPEC, event_id=event_id, fields=fields)).rendered.text == "mara pushed to a/b."
    assert (await shown(worker, SPEC, fields=fields)).rendered.text == "mara pushed to a/b."

    python = await shown(worker, SPEC, event_id=event_id, fields={"codebase.primary_language": "Python"})
    assert (python.rendered.template, python.rendered.text) == ("python", "push of Python")
    absent = await shown(worker, replace(SPEC, template="{{ change.files }}{{ codebase.files }}"), event_id=event_id)
    assert len(absent.notes) == 2


@pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
async def test_what_is_not_there_or_of_another_type_is_said(worker: "Worker") -> None:
    for prompt in ("nobody", "greet@staging", "No Slug!"):
        with pytest.raises(NotFoundError):
            await shown(worker, prompt)
    with pytest.raises(NotFoundError):
        await shown(worker, SPEC, event_id=uuid4())
    with pytest.raises(InvalidInputError) as caught:
        await shown(worker, SPEC, fields={"event.actr": "x", "event.number": "7"})
    assert caught.value.fields == {
        "event.actr": "there is no such field; did you mean event.actor?",
        "event.number": "a text '7', and has to be a number",
    }
    with pytest.raises(TemplateError, match="line 1"):
        await shown(worker, replace(SPEC, template="{{ titel }}"))


class Terminal:
    """Somebody at the command line."""

    def __init__(self) -> None:
        self.app = typer.Typer()
        self.app.callback()(lambda: None)
        prompts_preview.register(self.app)

    async def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        get_settings.cache_clear()
        answer = await asyncio.to_thread(CliRunner().invoke, self.app, ["preview", *arguments])
        assert answer.exit_code == code, (answer.stdout, answer.stderr, answer.exception)
        return answer.stdout, answer.stderr


@pytest.fixture
def terminal(database_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    for name in [name for name in os.environ if name.startswith(("DB_", "CONTEXTEN_", "DATABASE_URL"))]:
        monkeypatch.delenv(name)
    assert database_config.sqlite_path is not None
    monkeypatch.chdir(database_config.sqlite_path.parent)
    monkeypatch.setenv("CONTEXTEN_HOME", str(database_config.sqlite_path.parent / "home"))
    monkeypatch.setenv("DB_USE_SQLITE", "true")
    monkeypatch.setenv("DB_SQLITE_PATH", str(database_config.sqlite_path))
    yield Terminal()
    get_settings.cache_clear()


@pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
async def test_the_command_shows_a_stored_prompt(worker: "Worker", push: "Push", terminal: Terminal) -> None:
    await stored(worker, SPEC)
    event_id = await worker.receive(push())
    out, err = await terminal.run("greet", "--event", str(event_id)[:8], "--field", "repository.full_name=a/b")
    assert out == "jonas pushed to a/b.\n"
    assert "greet v1" in err

    out, _ = await terminal.run("greet@1", "--event", str(event_id), "--language", "Python", "--json")
    found = json.loads(out)
    assert (found["version"], found["rendered"]["template"]) == (1, "python")

    _, err = await terminal.run("greet", "--field", "event.number=seven", code=1)
    assert "has to be a number" in err
    _, err = await terminal.run(code=1)
    assert "name a prompt" in err


@pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
async def test_the_command_shows_a_prompt_of_a_file(worker: "Worker", terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    spec = replace(SPEC, templates=(), template="Hi {{ event.actor }}", system_prompt="You are kind.")
    path.write_text(write_prompt_file([spec, replace(spec, slug="other", template="{{ event.acto }}")]))
    fields = ("--field", "event.actor=mara")

    out, _ = await terminal.run("greet", "--file", str(path), *fields)
    assert out == "You are kind.\n\n---\n\nHi mara\n"
    _, err = await terminal.run("--file", str(path), *fields, code=1)
    assert "greet, other" in err
    _, err = await terminal.run("greet", "--file", str(tmp_path / "none.yaml"), code=1)
    assert "cannot be read" in err
