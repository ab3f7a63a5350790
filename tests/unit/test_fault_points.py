"""Every commit and every call to the outside of a lifecycle has a fault point before and after it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import contexten_core

ROOT = Path(contexten_core.__file__).parent.parent
PACKAGES = ("contexten_core", "tasks", "flows", "deployments")

POINTED = {
    "contexten_core/db/engine.py": {"begin", "create_engine", "create_async_engine"},
    "contexten_core/db/shared.py": {"begin"},
    "contexten_core/execution/command.py": set[str](),
    "contexten_core/execution/git.py": set[str](),
    "contexten_core/execution/llm_model.py": {"AsyncClient", "AsyncOpenAI", "AsyncAnthropic"},
    "contexten_core/integrations/github_client.py": {"GitHub"},
    "contexten_core/integrations/json_call.py": {"AsyncClient"},
    "contexten_core/integrations/outbox.py": set[str](),
    "deployments/engine.py": {"create_flow_run_from_deployment", "set_flow_run_state"},
    "deployments/in_process.py": set[str](),
}
"""Where the fault points are, and the calls that are made there."""

ELSEWHERE = {
    "contexten_core/execution/running.py": ({"Popen"}, "command.py passes the points around it"),
    "contexten_core/execution/sandbox_process.py": ({"Popen"}, "command.py passes the points around it"),
    "contexten_core/execution/git_process.py": ({"execute"}, "git.py passes the points around what is remote"),
    "contexten_core/execution/sandbox.py": ({"run"}, "looks once what the machine can do"),
    "contexten_core/codebase/pool.py": ({"Popen"}, "a helper that computes; it has no effect"),
    "contexten_core/prompts/templates/render.py": ({"Popen", "open_connection"}, "a helper that computes"),
    "contexten_core/events/lease_store.py": ({"begin"}, "a heartbeat: a lost one is made up for by the next"),
    "contexten_core/db/notify.py": ({"connect"}, "only hears; what is not heard is looked for"),
    "contexten_core/events/recover.py": ({"AsyncClient"}, "a flow of its own, which asks again an hour later"),
    "contexten_core/db/migrate.py": ({"begin", "create_engine"}, "before the service begins"),
    "contexten_core/db/portable.py": ({"begin", "create_engine"}, "a command of a person's"),
    "contexten_core/db/snapshot.py": ({"create_engine"}, "a command of a person's"),
    "contexten_core/codebase/local_store.py": ({"connect"}, "a cache of `contexten analyse`"),
    "deployments/prefect_server.py": ({"AsyncClient"}, "asks whether Prefect answers"),
    "deployments/embedded_postgres.py": ({"connect"}, "before the service begins"),
    "deployments/process.py": ({"create_subprocess_exec"}, "the supervisor"),
    "deployments/diagnosis.py": ({"run"}, "`contexten doctor`"),
}
"""Where such a call needs no fault point, and why."""

_WITHOUT_ARGUMENTS = frozenset({"commit", "begin"})
_NAMES = frozenset(
    {
        *("AsyncClient", "AsyncOpenAI", "AsyncAnthropic", "GitHub", "Popen", "ClientSession", "AsyncEngine"),
        *("create_engine", "create_async_engine", "create_subprocess_exec", "create_subprocess_shell"),
        *("open_connection", "create_connection", "open_unix_connection", "urlopen"),
        *("create_flow_run_from_deployment", "create_flow_run", "set_flow_run_state", "run_deployment"),
    }
)
_OF = {
    ("subprocess", "run"),
    ("httpx", "Client"),
    ("httpx", "get"),
    ("httpx", "post"),
    ("httpx", "request"),
    ("httpx", "stream"),
    ("psycopg", "connect"),
    ("AsyncConnection", "connect"),
    ("Git()", "execute"),
    ("sqlite3", "connect"),
}
_POINTS = frozenset({"fault_point", "outside", "outside_of_loop"})


def test_no_commit_and_no_call_to_the_outside_is_without_a_fault_point() -> None:
    found = {module: made for module in _modules() if (made := set(_calls(ROOT / module)))}
    known = {module: made for module, made in POINTED.items() if made}
    known |= {module: made for module, (made, _) in ELSEWHERE.items()}
    assert found == known, "put `outside(...)` around a new call, and name it here"


def test_what_has_fault_points_has_them() -> None:
    assert [module for module in POINTED if not set(_names(ROOT / module)) & _POINTS] == []


def _modules() -> Iterator[str]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = path.relative_to(ROOT).as_posix()
            if "/migrations/" not in module:
                yield module


def _calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name, of = _called(node.func)
            if name in _NAMES or (of, name) in _OF or (name in _WITHOUT_ARGUMENTS and not node.args):
                yield name


def _called(function: ast.expr) -> tuple[str, str]:
    match function:
        case ast.Name(id=name):
            return name, ""
        case ast.Attribute(attr=name, value=ast.Name(id=of) | ast.Attribute(attr=of)):
            return name, of
        case ast.Attribute(attr=name, value=ast.Call(func=ast.Name(id=of))):
            return name, f"{of}()"
        case ast.Attribute(attr=name):
            return name, ""
    return "", ""


def _names(path: Path) -> Iterator[str]:
    return (_called(node.func)[0] for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
