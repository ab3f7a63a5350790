"""docs/guides/webhooks.md names settings, options, addresses and gates that there are."""

import re
from pathlib import Path

import pytest
import typer
from pydantic import AliasChoices

from contexten.cli.events import app
from contexten.server import webhooks
from contexten_core.events import explain, recover
from contexten_core.settings import Settings

GUIDE = (Path(__file__).resolve().parents[3] / "docs/guides/webhooks.md").read_text(encoding="utf-8")


def test_its_settings_exist() -> None:
    known = {"CONTEXTEN_HOME"}
    for field in Settings.model_fields.values():
        assert isinstance(field.validation_alias, AliasChoices)
        known |= {str(name) for name in field.validation_alias.choices}
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", GUIDE)) - {"CONTEXTEN_"}
    assert named
    assert named <= known


def test_its_commands_and_options_exist() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    used = re.findall(r"contexten events ([a-z]+)((?: --?[a-z-]+(?: [\w./:-]+)?)*)", GUIDE)
    assert {name for name, _ in used} == {"list", "send", "explain", "replay"}
    for name, options in used:
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", options)) <= known
    sent = {option for parameter in commands["send"].params for option in parameter.opts}
    assert {"--to", "--delivery-id", "--header", "--raw", "--json", "--source", "--event"} <= sent


@pytest.mark.parametrize("provider", ["github", "linear", "slack", "deployments"])
def test_its_addresses_exist(provider: str) -> None:
    paths = {getattr(route, "path", "") for route in webhooks.router.routes}
    assert f"`/{provider}/events`" in GUIDE
    assert {
        f"/{provider}/events",
        f"/webhooks/{provider}",
        f"/{{organisation}}/{{repository}}/{provider}/events",
    } <= paths


def test_its_figures_are_those_of_the_code() -> None:
    assert recover.MOST_ATTEMPTS == 8
    assert "eight times in all" in GUIDE
    waits = [recover.FIRST_WAIT.total_seconds() / 60 * 2**times for times in range(3)]
    assert f"after {', '.join(f'{wait:.0f}' for wait in waits)} ... minutes" in GUIDE


def test_its_gates_are_those_of_the_code() -> None:
    shown = re.findall(r"^  [✓✗·…] ([a-z ]+?)  ", GUIDE, re.MULTILINE)
    assert shown == ["received", *(name for name, _ in explain._WAY), "functions"]
