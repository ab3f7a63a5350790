"""Dockerfile and Compose file: what can be known of them where there is no Docker."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import Settings as PrefectSettings

from tests.unit.known_names import is_our_command, prefect_setting_names, setting_names

ROOT = Path(__file__).resolve().parents[3]
PINNED = re.compile(r"[a-z/-]+:[0-9]+\.[0-9]+[A-Za-z0-9.-]*")
LIBRARIES_OWN = {"DO_NOT_TRACK", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
ONE_SHOT = {"migrate", "prefect-migrate"}


def test_both_stages_start_from_one_image_of_one_version(instructions: list[tuple[str, str]]) -> None:
    images = {text.split()[0] for name, text in instructions if name == "FROM"}
    assert len(images) == 1
    assert all(PINNED.fullmatch(image) for image in images)


def test_the_image_has_git_and_bubblewrap_and_runs_as_nobody_in_particular(instructions: list[tuple[str, str]]) -> None:
    final = [name for name, _ in instructions][::-1].index("FROM")
    last = instructions[-final:]
    installed = next(text for name, text in last if name == "RUN" and "apt-get install" in text)
    assert {"git", "bubblewrap", "ca-certificates"} <= set(installed.split())
    assert [text for name, text in last if name == "USER"] == ["contexten"]
    assert "useradd --system --uid 10001" in installed
    position = {name: place for place, (name, _) in enumerate(last)}
    assert position["USER"] > max(position["RUN"], position["COPY"]), "nothing of the program belongs to its account"


def test_what_starts_and_what_looks_is_no_shell_line(instructions: list[tuple[str, str]]) -> None:
    said = dict(instructions)
    assert json.loads(said["ENTRYPOINT"]) == ["with-secrets"]
    assert is_our_command(json.loads(said["CMD"]))
    assert json.loads(said["HEALTHCHECK"].partition("CMD ")[2])[:2] == ["python", "-c"]


def test_what_is_copied_is_there_and_not_ignored(instructions: list[tuple[str, str]]) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for name, text in instructions:
        if name == "COPY" and not text.startswith("--"):
            *sources, _ = text.split()
            copied.update(sources)
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


def test_variables_of_the_image_are_settings_and_no_secrets(instructions: list[tuple[str, str]]) -> None:
    given = {word.partition("=")[0] for name, text in instructions[2:] if name == "ENV" for word in shlex.split(text)}
    assert_settings(given - {"PIP_NO_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK"})
    assert not [text for name, text in instructions if name == "ARG"]


def test_secrets_become_variables_whatever_is_in_them(dockerfile: str, tmp_path: Path) -> None:
    script = dockerfile.partition("<<'SH' /usr/local/bin/with-secrets\n")[2].partition("\nSH\n")[0]
    program, folder = tmp_path / "with-secrets", tmp_path / "secrets"
    program.write_text(script)
    folder.mkdir()
    hostile = "a b$(touch /tmp/never)`id`'\";*\n  second line=1"
    (folder / "secret_key").write_text(hostile)
    (folder / "db_password").write_text("ends with a line break\n")
    show = ["env", "--null"]
    environment = {"PATH": "/usr/bin:/bin", "SECRETS_FOLDER": str(folder)}
    done = subprocess.run(["sh", str(program), *show], env=environment, capture_output=True, text=True, check=True)
    seen = dict(entry.partition("=")[::2] for entry in done.stdout.split("\0") if entry)
    assert (seen["SECRET_KEY"], seen["DB_PASSWORD"]) == (hostile, "ends with a line break")


def test_without_secrets_the_program_just_starts(dockerfile: str, tmp_path: Path) -> None:
    script = dockerfile.partition("<<'SH' /usr/local/bin/with-secrets\n")[2].partition("\nSH\n")[0]
    environment = {"PATH": "/usr/bin:/bin", "SECRETS_FOLDER": str(tmp_path)}
    done = subprocess.run(["sh", "-c", script, "sh", "echo", "up"], env=environment, capture_output=True, check=True)
    assert done.stdout == b"up\n"


def test_every_service_is_of_one_version_and_looked_after(services: dict[str, Any]) -> None:
    assert set(services) >= {"postgres", "redis", "prefect", "web", "worker"}
    for name, service in services.items():
        image = re.sub(r"^\$\{CONTEXTEN_IMAGE:-(.*)\}$", r"\1", service["image"])
        assert PINNED.fullmatch(image), name
        assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
        watched = "test" in service["healthcheck"]
        assert watched or name in ONE_SHOT | {"prefect-services"}
        assert "privileged" not in service
        assert service["healthcheck"].get("test", [])[1:2] != ["contexten"], "a check gets no secrets by itself"
        assert "no-new-privileges:true" in service.get("security_opt", ["no-new-privileges:true"])


def test_what_is_ours_can_write_to_its_home_alone(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name in ("postgres", "redis"):
            continue
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert [volume.rpartition(":")[2] for volume in service["volumes"]] == ["/var/lib/contexten"]
        assert "user" not in service, "the image says which"
    homes = [service["volumes"][0] for service in services.values()]
    assert len(set(homes)) == len(homes), "no two share a home"


def test_only_loopback_is_published(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_services_volumes_secrets_and_networks_are_declared(compose: dict[str, Any], services: dict[str, Any]) -> None:
    used: set[str] = set()
    for service in services.values():
        given = [each if isinstance(each, str) else each["source"] for each in service.get("secrets", [])]
        assert set(given) <= set(compose["secrets"])
        assert set(service["networks"]) <= set(compose["networks"])
        used |= {volume.partition(":")[0] for volume in service["volumes"] if ":" in volume}
        for other, needed in service.get("depends_on", {}).items():
            assert (needed["condition"] == "service_completed_successfully") is (other in ONE_SHOT)
            assert other in ONE_SHOT or "test" in services[other]["healthcheck"]
    assert used == set(compose["volumes"])


def test_variables_of_services_are_settings_and_no_secrets(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name != "postgres":
            assert_settings(set(service.get("environment", {})))
        secrets = [each if isinstance(each, str) else each["target"] for each in service.get("secrets", [])]
        if name.startswith("prefect"):
            assert {each.upper() for each in secrets} <= prefect_setting_names()
        elif secrets and name != "postgres":
            assert all(setting_names()[each.upper()] for each in secrets)


def test_every_command_is_one(services: dict[str, Any]) -> None:
    ours = [service["command"] for service in services.values() if service.get("command", [""])[0] == "contexten"]
    assert [command for command in ours if not is_our_command(command)] == []
    assert ["contexten", "serve", "--role", "worker"] in ours
    assert ["contexten", "serve", "--role", "web"] in ours


def test_several_prefect_servers_share_everything_through_redis(services: dict[str, Any]) -> None:
    for name in ("prefect", "prefect-services"):
        given = services[name]["environment"]
        assert {value for value in given.values() if value.startswith("prefect_redis.")} == {
            "prefect_redis.messaging",
            "prefect_redis.ordering",
            "prefect_redis.lease_storage",
            "prefect_redis.cleanup_queue",
        }
        assert given["PREFECT_SERVER_DOCKET_URL"].startswith("redis://redis:")
    assert "--no-services" in services["prefect"]["command"], "loops run once, in prefect-services"


def test_all_processes_together_open_no_more_connections_than_postgresql_has(services: dict[str, Any]) -> None:
    most = int(next(part for part in services["postgres"]["command"] if "max_connections" in part).partition("=")[2])
    settings = services["worker"]["environment"]
    ours = int(settings["DB_POOL_SIZE"]) + int(settings["DB_MAX_OVERFLOW"]) + 1
    database = PrefectSettings().server.database.sqlalchemy
    prefect = 3 * (database.pool_size + database.max_overflow)
    replicas = services["worker"]["deploy"]["replicas"]
    assert ours * (1 + 2 * replicas) + prefect < most, "also while each worker is replaced by a new one"


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "deployments" / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def instructions(dockerfile: str) -> list[tuple[str, str]]:
    return list(parse(dockerfile))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "deployments" / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def parse(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction of a Dockerfile with its text, comments and here-documents left out."""
    text = re.sub(r"<<'(\w+)' (\S+)\n.*?\n\1\n", r"\2\n", dockerfile, flags=re.DOTALL)
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            assert name.isupper(), line
            yield name, " ".join(rest.split())


def assert_settings(names: set[str]) -> None:
    known = {name for name, is_secret in setting_names().items() if not is_secret}
    assert names <= known | prefect_setting_names() | LIBRARIES_OWN
