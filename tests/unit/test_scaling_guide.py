"""The guide to scaling out names only what there is, and its figures are those of the settings."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import Settings as PrefectSettings

from contexten_core.settings import DatabaseConfig, Settings
from deployments.catalogue import CATALOGUE, WORK_POOL
from tests.unit.known_names import is_our_command, prefect_setting_names, setting_names

ROOT = Path(__file__).resolve().parents[2]
OF_COMPOSE = {"CONTEXTEN_IMAGE", "CONTEXTEN_SECRETS"}
NO_SETTINGS = {"LISTEN", "SIGTERM"}


def test_every_setting_in_it_is_one(guide: str) -> None:
    code = [*re.findall(r"`([A-Z][A-Z_]+)(?:=[^`]*)?`", guide), *re.findall(r"^([A-Z][A-Z_]+)=", guide, re.MULTILINE)]
    named = set(code) - NO_SETTINGS
    assert len(named) > 30
    assert named - set(setting_names()) - prefect_setting_names() - OF_COMPOSE == set()


def test_what_a_further_worker_needs_is_all_that_is_shown(guide: str) -> None:
    shown = dict(line.split("=", 1) for line in block(guide, "sh", 0))
    assert set(shown) <= set(setting_names())
    assert set(shown) >= {"CONTEXTEN_HOME", "DATABASE_URL", "PREFECT_API_URL", "PUBLIC_URL", "SECRET_KEY"}


def test_several_prefect_servers_are_set_up_as_in_the_compose_file(guide: str) -> None:
    compose = yaml.safe_load((ROOT / "deployments" / "compose.yaml").read_text(encoding="utf-8"))
    given = compose["services"]["prefect"]["environment"]
    shown = dict(line.split("=", 1) for line in block(guide, "sh", 1))
    assert {name: value.replace("redis.internal", "redis") for name, value in shown.items()}.items() <= given.items()
    assert {name for name in given if "REDIS" in name or "redis" in given[name]} == set(shown)


def test_our_commands_in_it_are_known(guide: str) -> None:
    lines = re.findall(r"^\$ (contexten .*)$", guide, re.MULTILINE)
    lines += re.findall(r"`(contexten [a-z][^`]*)`", guide)
    assert len(lines) > 8
    assert [line for line in lines if not is_our_command(shlex.split(line.split(",")[0]))] == []


def test_pools_and_deployments_in_it_are_those_of_prefect_yaml(guide: str, described: dict[str, Any]) -> None:
    everything = [*described["deployments"], *described["definitions"]]
    named = set(re.findall(r"\b((?:lifecycle|burst|learning|maintenance)/[a-z]+)\b", guide))
    assert named <= {f"{each['flow_name']}/{each['name']}" for each in everything}
    assert named >= {workflow.full_name for workflow in CATALOGUE}
    pools = set(re.findall(r"\b(?:--pool|work-pool create) ([a-z-]+)", guide))
    assert pools
    assert pools <= {each["work_pool"]["name"] for each in everything}
    assert f"in the work pool `{WORK_POOL}`" in " ".join(guide.split())


def test_its_figures_are_the_defaults(guide: str) -> None:
    settings, database = Settings.model_fields, DatabaseConfig.model_fields
    prefect = PrefectSettings().server.database.sqlalchemy
    assert f"`LEASE_SECONDS`, {settings['lease_seconds'].default}" in guide
    assert f"({database['pool_size'].default} + {database['max_overflow'].default})" in guide
    assert f"{prefect.pool_size} + {prefect.max_overflow}" in guide


def test_its_sums_of_connections_are_right(guide: str) -> None:
    rows = re.findall(r"^\| [A-Za-z' ]+ \| ([^|]*) \| (\d+) \| (\d+) \|$", guide, re.MULTILINE)
    assert len(rows) == 3
    counts = [sum(map(int, re.findall(r"\d+", processes))) for processes, _, _ in rows]
    assert [int(total) for _, _, total in rows] == [
        count * int(most) for count, (_, most, _) in zip(counts, rows, strict=True)
    ]
    assert f"That is {sum(int(total) for _, _, total in rows)};" in guide
    # Half of the pool, of each process of ours.
    less = {"50": 25, "53": 28}
    smaller = sum(count * less.get(most, int(most)) for count, (_, most, _) in zip(counts, rows, strict=True))
    assert f"it is {smaller}." in guide


def test_files_that_it_names_are_there(guide: str) -> None:
    named = set(re.findall(r"`((?:bench|deployments|docs|tests)/[\w./-]+)`", guide))
    assert len(named) >= 4
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.fixture(scope="module")
def guide() -> str:
    return (ROOT / "docs" / "guides" / "scaling.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    return loaded


def block(guide: str, language: str, position: int) -> list[str]:
    """Return the lines of one of the guide's blocks of code."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    return str(found[position]).splitlines()
