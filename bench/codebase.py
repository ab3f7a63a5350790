"""Our codebase analysis beside universal-ctags, lizard and radon: `python -m bench.codebase [--runs N]`.

On the Python files of real projects (source packages from PyPI, downloaded by pip into a temporary folder and
committed into temporary git repositories), each tool in a process of its own, alternating, on all cores where it can:
seconds from its start to its end, what it finds, and the most memory that it and its children have together. Ours reads
the files out of a mirror of the repository and tells everything of `CommitFacts`; the others read them from the disk.

Then one commit more, which changes five files: ours alone, with the facts in a database (SQLite, and PostgreSQL), the
fetch of the commit left out, other calls of git counted in.
"""

import argparse
import asyncio
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from pydantic import SecretStr

from contexten_core.codebase.keep import CommitName, examine_commit, store_commit
from contexten_core.db import Database, migrate
from contexten_core.execution.git import GitMirrors, Mirror
from contexten_core.settings import DatabaseConfig
from deployments.embedded_postgres import EmbeddedPostgres
from deployments.home import Home
from deployments.supervisor import Supervisor

RESULTS = Path(__file__).parent / "results"
PROJECTS = ("django==5.2.8", "sympy==1.14.0")
UPDATED_FILES = 2_000
CHANGED_FILES = 5

_LOOK_SECONDS = 0.01
_OURS = """
import json, sys, time
from pathlib import Path
from contexten_core.codebase.whole import facts_of_commit
from contexten_core.execution.git import GitMirrors
mirror = GitMirrors(Path(sys.argv[1])).open(sys.argv[2], allow_local=True)
began = time.perf_counter()
facts = facts_of_commit(mirror, sys.argv[3])
seconds = time.perf_counter() - began
print(json.dumps({"symbols": facts.totals.functions + facts.totals.classes, "analysis_seconds": seconds}))
"""
_GIT = ("git", "-c", "user.name=bench", "-c", "user.email=bench@example.org")


class Project(NamedTuple):
    """A project's Python files in a git repository, and our mirror of it.

    Attributes:
        list: a file that names them, one a line, as the tools want it.
    """

    name: str
    folder: Path
    commit: str
    mirrors: Path
    list: Path
    files: int
    lines: int


class Sample(NamedTuple):
    """One run of one tool."""

    seconds: float
    peak_memory_mb: float
    output: str


def measure(runs: int) -> dict[str, Any]:
    """Return figures and ratios of `runs` runs of each tool on each project."""
    with tempfile.TemporaryDirectory(prefix="contexten-bench-") as folder:
        projects = [_download(package, Path(folder)) for package in PROJECTS]
        first = {project.name: _first_analysis(project, runs) for project in projects}
        again = {
            kind: asyncio.run(_one_commit_more(projects[0], Path(folder), kind=kind, runs=runs))
            for kind in ("sqlite", "postgresql")
        }
    return {
        "at": datetime.now(UTC).isoformat(),
        "machine": {
            "cores": psutil.cpu_count(),
            "load": psutil.getloadavg()[0],
            "memory_gb": round(psutil.virtual_memory().total / 1e9),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "runs": runs,
        "first_analysis": first,
        "one_commit_more": again,
        "ratios": _ratios(first),
    }


def _ratios(first: dict[str, dict[str, Any]]) -> dict[str, float]:
    ratios = {}
    for project, tools in first.items():
        for name, which in (("process", "seconds"), ("analysis", "analysis_seconds")):
            ours = tools["contexten"][which]
            ratios[f"{project}_{name}_lizard_vs_contexten"] = round(tools["lizard"]["seconds"] / ours, 2)
            ratios[f"{project}_{name}_radon_vs_contexten"] = round(tools["radon"]["seconds"] / ours, 2)
            ratios[f"{project}_{name}_contexten_vs_ctags"] = round(ours / tools["ctags"]["seconds"], 2)
    return ratios


def _download(package: str, folder: Path) -> Project:
    name = package.partition("=")[0]
    packed, source = folder / f"{name}-packed", folder / name
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest"]
    subprocess.run([*command, str(packed), package], check=True, stdout=subprocess.DEVNULL)
    unpacked = folder / f"{name}-unpacked"
    with tarfile.open(next(packed.glob("*.tar.gz"))) as archive:
        archive.extractall(unpacked, filter="data")
    files = sorted(path for path in unpacked.rglob("*.py") if path.is_file() and not path.is_symlink())
    lines = 0
    for path in files:
        copied = source / path.relative_to(unpacked)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copied)
        lines += path.read_bytes().count(b"\n")
    listed = folder / f"{name}.txt"
    listed.write_text("".join(f"{path.relative_to(unpacked)}\n" for path in files))
    _git(source, "init", "--quiet", "--initial-branch=main")
    mirrors = folder / f"{name}-mirrors"
    commit = _commit(source)
    _mirror(mirrors, source).fetch(commit)
    return Project(name, source, commit, mirrors, listed, len(files), lines)


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*_GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _commit(folder: Path) -> str:
    _git(folder, "add", "--all", "--force")
    _git(folder, "commit", "--quiet", "--message=bench")
    return _git(folder, "rev-parse", "HEAD")


def _mirror(mirrors: Path, source: Path) -> Mirror:
    return GitMirrors(mirrors).open(str(source), allow_local=True)


def _first_analysis(project: Project, runs: int) -> dict[str, Any]:
    tools: dict[str, tuple[list[str], Callable[[str], int]]] = {
        "contexten": (
            [sys.executable, "-c", _OURS, str(project.mirrors), str(project.folder), project.commit],
            lambda output: int(json.loads(output)["symbols"]),
        ),
        "ctags": (["ctags", "-L", str(project.list), "-f", "-", "--fields=+ne"], lambda output: output.count("\n")),
        "lizard": (["lizard", "-l", "python", "-f", str(project.list), "--csv"], lambda output: output.count("\n")),
        "radon": (
            [sys.executable, "-m", "radon", "cc", "--json", "."],
            lambda output: sum(len(found) for found in json.loads(output).values() if isinstance(found, list)),
        ),
    }
    samples: dict[str, list[Sample]] = {name: [] for name in tools}
    for _ in range(runs):
        for name, (command, _) in tools.items():
            # Ours is run from here, where its package is.
            samples[name].append(_run(command, folder=None if name == "contexten" else project.folder))
    figures: dict[str, Any] = {"files": project.files, "lines": project.lines}
    figures |= {
        name: {
            "seconds": round(statistics.median(sample.seconds for sample in samples[name]), 3),
            "peak_memory_mb": round(statistics.median(sample.peak_memory_mb for sample in samples[name]), 1),
            "symbols": count(samples[name][-1].output),
            "samples_seconds": [round(sample.seconds, 3) for sample in samples[name]],
        }
        for name, (_, count) in tools.items()
    }
    # Without the start of an interpreter and its imports, which a service pays once.
    inside = [json.loads(sample.output)["analysis_seconds"] for sample in samples["contexten"]]
    figures["contexten"]["analysis_seconds"] = round(statistics.median(inside), 3)
    return figures


def _run(command: Sequence[str], *, folder: Path | None) -> Sample:
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=output)
        watched = psutil.Process(process.pid)
        peak = 0
        while process.poll() is None:
            peak = max(peak, _memory(watched))
            time.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - began
        output.seek(0)
        text = output.read()
        # Some tools end with the number of their warnings.
        if not text:
            raise RuntimeError(f"{command[0]} found nothing and ended with {process.returncode}")
        return Sample(seconds, peak / 1e6, text)


def _memory(process: psutil.Process) -> int:
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            try:
                total += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        return total
    return total


async def _one_commit_more(project: Project, folder: Path, *, kind: str, runs: int) -> dict[str, Any]:
    source = folder / f"{kind}-source"
    source.mkdir()
    _git(source, "init", "--quiet", "--initial-branch=main")
    paths = [Path(line) for line in project.list.read_text().splitlines()][:UPDATED_FILES]
    for path in paths:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project.folder / path, source / path)
    mirror = _mirror(folder / f"{kind}-mirrors", source)
    async with _database(folder, kind) as database:
        first = await _timed(database, mirror, _commit(source))
        samples = []
        for run in range(runs + 1):
            for path in paths[run :: len(paths) // CHANGED_FILES][:CHANGED_FILES]:
                with (source / path).open("a") as file:
                    file.write(f"\n\ndef added_{run}(value):\n    return value + {run}\n")
            samples.append(await _timed(database, mirror, _commit(source)))
    return {
        "files": len(paths),
        "changed": CHANGED_FILES,
        "first_seconds": round(first, 3),
        "milliseconds": round(1000 * statistics.median(samples[1:]), 1),
        "samples_milliseconds": [round(1000 * sample, 1) for sample in samples[1:]],
    }


async def _timed(database: Database, mirror: Mirror, commit: str) -> float:
    await asyncio.to_thread(mirror.fetch, commit)
    began = time.perf_counter()
    examined = await examine_commit(database, mirror, CommitName("bench", mirror.url, commit, "main", None))
    async with database.transaction() as session:
        await store_commit(session, examined)
    return time.perf_counter() - began


@asynccontextmanager
async def _database(folder: Path, kind: str) -> AsyncIterator[Database]:
    if kind == "sqlite":
        config = DatabaseConfig(use_sqlite=True, sqlite_path=folder / "bench.db")
        await asyncio.to_thread(migrate.upgrade, config)
        database = Database(config)
        try:
            yield database
        finally:
            await database.close()
        return
    home = Home(folder / "home")
    home.create()
    server, supervisor = EmbeddedPostgres(home), Supervisor()
    await server.prepare()
    await supervisor.start(server.child())
    try:
        await server.create_databases("contexten")
        config = DatabaseConfig(url=SecretStr(server.dsn("contexten")))
        await asyncio.to_thread(migrate.upgrade, config)
        database = Database(config)
        try:
            yield database
        finally:
            await database.close()
    finally:
        await supervisor.stop()
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="how often each tool is run")
    result = measure(parser.parse_args().runs)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"codebase-{datetime.now(UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: result[key] for key in ("first_analysis", "one_commit_more", "ratios")}, indent=2))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
