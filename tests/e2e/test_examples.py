"""Every file of examples/ runs as a program, and the code of the user's description runs as it is written there."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contexten.emulators.repositories import make_demo_repositories
from contexten_core.settings import Settings, as_environment
from tests.e2e.programs import Program, assert_home_is_free, write
from tests.functional.stacks import Answer, Household, ServedStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("e2e")]

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAM_SECONDS = 60.0
FLOW_SECONDS = 150.0

EXPECTED = {
    "advanced_configuration.py": [r"^/.*cashbox\.git: \d+ lines$", r"^owner/repo1: \['feat: new feature'\]$"],
    "errors.py": [
        r"^err_\d{8}_\d{6}_\d+ external_service medium$",
        r"^recovered: True$",
        r"^\d+ errors so far: .*'external_service:TimeoutError': \d+",
    ],
    "integration_test.py": [
        r"^PASSED  system_initialization",
        r"^PASSED  system_health",
        r"^Test Results: PASSED$",
        r"^Success Rate: 100\.0%$",
    ],
    "performance.py": [
        r"^IS MAIN BROKEN\?$",
        r"^CPU Usage: [\d.]+%$",
        r"^Memory Usage: [\d.]+%$",
        r"^Average CPU: [\d.]+%$",
        r"^Answers: \d+$",
    ],
    "provider_handlers.py": [
        r"^\{'labeled': 'ready', 'pull_request': 7\}$",
        r"^\{'channel': 'C1', 'text': 'is main broken\?'\}$",
        r"^\{'action': 'create', 'title': 'Totals are off by a cent'\}$",
    ],
    "system_events.py": [r"^Custom event received: \{'message': 'Hello World'\}$", r"^Task completed: Say hello$"],
    "tasks_and_projects.py": [r"'status': 'completed'", r"'result': \{'merged': True\}"],
}
SERVING = {"basic_usage.py", "run_a_flow.py"}


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., ServedStack], tmp_path_factory: pytest.TempPathFactory) -> ServedStack:
    """A home that nothing runs on, with one SQLite file for all examples."""
    database = tmp_path_factory.mktemp("database") / "examples.db"
    return make_stack(DB_USE_SQLITE="true", DB_SQLITE_PATH=str(database))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo_repositories(tmp_path_factory.mktemp("repositories")).cashbox.path


def run(stack: ServedStack, name: str, *arguments: str, within: float = PROGRAM_SECONDS) -> Answer:
    return stack.program([sys.executable, str(EXAMPLES / name), *arguments], within=within)


def test_every_file_is_tried() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == EXPECTED.keys() | SERVING


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_it_runs_and_says_what_it_should(stack: ServedStack, household: Household, repository: Path, name: str) -> None:
    arguments = [str(repository)] if name == "advanced_configuration.py" else []

    said = run(stack, name, *arguments)

    assert said.code == 0, said
    for line in EXPECTED[name]:
        assert re.search(line, said.out, re.MULTILINE), (line, said)
    assert "Traceback" not in said.err, said
    assert_home_is_free(stack, household)


def test_basic_usage_serves(stack: ServedStack, household: Household, repository: Path) -> None:
    # The mirrors of an example are where TMP_DIR says: nothing is left in the real /tmp/contexten.
    stack.environment["TMP_DIR"] = str(stack.folder / "codebases")
    port = stack.environment["API_PORT"]
    program = Program(stack, [sys.executable, str(EXAMPLES / "basic_usage.py"), str(repository), port])
    with program.running():
        assert program.health()["status"] == "healthy"
        assert program.end() == 0, program.said()
    assert re.search(r"cashbox\.git at [0-9a-f]{10}: \d+ files, Python", program.said()), program.said()
    assert_home_is_free(stack, household)


def test_run_a_flow_starts_a_stack_for_itself(stack: ServedStack, household: Household) -> None:
    said = run(stack, "run_a_flow.py", within=FLOW_SECONDS)

    assert said.code == 0, said
    assert re.search(r"^learning: completed", said.out, re.MULTILINE | re.IGNORECASE), said
    assert household.described() == []


@pytest.mark.parametrize("name", ["development.env", "production.env"])
def test_the_settings_of_an_environment_file_exist(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = set(as_environment(Settings())) | {"DB_HOST", "DB_PASSWORD", "GITHUB_ACCESS_TOKEN", "LINEAR_ACCESS_TOKEN"}
    known |= {"GITHUB_WEBHOOK_SECRET", "LINEAR_WEBHOOK_SECRET", "SLACK_SIGNING_SECRET"}
    lines = [line for line in (EXAMPLES / name).read_text().splitlines() if line and not line.startswith("#")]
    names = [line.partition("=")[0] for line in lines]
    assert set(names) <= known
    assert len(names) == len(set(names))

    for each in known:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text((EXAMPLES / name).read_text())
    settings = Settings()

    assert settings.github_token is not None
    assert settings.environment.value == name.partition(".")[0]
    assert settings.db.kind.value == {"development.env": "sqlite", "production.env": "postgresql"}[name]


def test_the_dockerfile_is_one() -> None:
    known = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "VOLUME", "EXPOSE", "CMD"}
    text = (EXAMPLES / "Dockerfile").read_text().replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]

    assert {instruction for instruction, _ in steps} <= known
    assert steps[0][0] == "FROM"
    assert json.loads(steps[-1][1]) == ["python", "-m", "contexten.contexten_app"]
    settings = {step[1].partition("=")[0] for step in steps if step[0] == "ENV"}
    assert settings <= set(as_environment(Settings()))
    for needed in ("constraints.txt", "pyproject.toml"):
        assert (EXAMPLES.parent / needed).exists()


# The blocks of "Usage Examples" and "Integration Test", word for word, but for the port, the host and the folder.
DESCRIPTION = """
from contexten import ContextenApp

# Create and initialize the application
app = ContextenApp(
    name="my-cicd-system",
    repo="owner/repository",
    enable_monitoring=True,
    enable_learning=True
)

# Initialize the system
await app.initialize()

# Run the application
app.run(host="127.0.0.1", port={port})

from contexten import ContextenApp
from contexten.config import get_settings

# Configure settings
settings = get_settings()
settings.max_concurrent_operations = 2000
settings.response_timeout_seconds = 1.5

# Create application with custom configuration
app = ContextenApp(
    name="advanced-cicd-system",
    tmp_dir={tmp_dir!r},
    enable_monitoring=True,
    enable_learning=True
)

# Add multiple repositories
await app.add_repo("owner/repo1")
await app.add_repo("owner/repo2")

# Simulate events for testing
result = await app.simulate_event("github", "push", {{
    "repository": {{"full_name": "owner/repo1"}},
    "commits": [{{"message": "feat: new feature"}}]
}})

# Create a task
task = await app.orchestrator.create_task({{
    "name": "Implement Feature X",
    "description": "Implement the new feature X",
    "title": "Feature X Implementation",
    "task_type": "feature_implementation",
    "priority": "high"
}})

# Update task status
await app.orchestrator.update_task(str(task.id), {{
    "status": "in_progress",
    "started_at": datetime.utcnow()
}})

# Create a project
project = await app.orchestrator.create_project({{
    "name": "My Project",
    "description": "Project description",
    "slug": "my-project"
}})

# Register custom event handler
async def custom_handler(data):
    print(f"Custom event received: {{data}}")

app.orchestrator.register_event_handler("custom_event", custom_handler)

# Emit custom event
await app.orchestrator.emit_event("custom_event", {{"message": "Hello World"}})

# Get current performance metrics
metrics = await app.performance_monitor.get_current_metrics()
print(f"CPU Usage: {{metrics['cpu_usage']}}%")
print(f"Memory Usage: {{metrics['memory_usage']}}%")

# Get performance report
report = await app.performance_monitor.get_performance_report(hours=24)
print(f"Average CPU: {{report['cpu_usage']['avg']}}%")

# Get optimization suggestions
suggestions = await app.performance_monitor.optimize_performance()
for suggestion in suggestions['suggestions']:
    print(f"- {{suggestion['suggestion']}}")

from contexten.integration_test import run_integration_test

# Run comprehensive integration test
results = await run_integration_test()
print(f"Test Results: {{results['summary']['overall_status']}}")
print(f"Success Rate: {{results['summary']['success_rate']}}%")

import logging
logging.getLogger('contexten').setLevel(logging.DEBUG)
"""
AROUND = """\
import asyncio
from datetime import datetime

from contexten import ContextenApp
from contexten_core.projects.add import add_repository


async def known():
    app = ContextenApp(name="before")
    async with app.orchestrator.get_db_session() as session:
        for name in ("owner/repository", "owner/repo1", "owner/repo2"):
            config = {{("git", "allow_local"): True}}
            await add_repository(session, full_name=name, clone_url={repository!r}, config=config)
    await app.shutdown()


async def described():
{body}
    print(f"result: {{result}}; settings: {{app.orchestrator.settings.max_concurrent_operations}}")
    print(f"codebases: {{sorted(app.codebases)}}; project: {{project.slug}}")
    await app.shutdown()


asyncio.run(known())
asyncio.run(described())
"""


@pytest.mark.parametrize("kind", ["sqlite", "embedded"])
def test_the_description_runs_as_it_is_written(
    make_stack: Callable[..., ServedStack], household: Household, repository: Path, tmp_path: Path, kind: str
) -> None:
    settings = {"DB_USE_SQLITE": "true", "DB_SQLITE_PATH": str(tmp_path / "x.db")} if kind == "sqlite" else {}
    stack = make_stack(**settings, TMP_DIR=str(tmp_path / "codebases"))
    blocks = DESCRIPTION.format(port=stack.environment["API_PORT"], tmp_dir=str(tmp_path / "custom"))
    body = "\n".join(f"    {line}".rstrip() for line in blocks.splitlines())
    source = AROUND.format(body=body, repository=str(repository))
    program = Program(stack, [sys.executable, write(stack.folder, "described.py", source)])

    with program.running():
        program.deliver_ping_and_wait()
        program.interrupt()
        assert program.wait(within=PROGRAM_SECONDS) == 0, program.said()

    for line in (
        "Custom event received: {'message': 'Hello World'}",
        "Test Results: PASSED",
        "Success Rate: 100.0%",
        "result: {'message': 'Event type not handled'}; settings: 2000",
        "codebases: ['owner/repo1', 'owner/repo2']; project: my-project",
    ):
        assert line in program.said().splitlines(), program.said()
    assert re.search(r"^CPU Usage: [\d.]+%$", program.said(), re.MULTILINE)
    assert_home_is_free(stack, household)
    assert os.listdir(stack.cwd) == []  # noqa: PTH208 - names
