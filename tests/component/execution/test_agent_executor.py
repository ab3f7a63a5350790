"""The agent executor: a program works on a checkout, and nothing but a bounded patch of it is left."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from contexten_core.errors import ConfigurationError
from contexten_core.execution.agent_diff import diff_of
from contexten_core.execution.agent_tree import Change
from contexten_core.execution.executor import Assignment, Report, executor_for
from contexten_core.execution.proposals import Comment, Message, Patch
from contexten_core.execution.results import Ended
from contexten_core.execution.sandbox import Sandbox
from contexten_core.outputs.patch import apply, read_patch
from contexten_core.settings import SandboxUse, Settings

ORIGINAL: dict[str, str | bytes] = {
    "cart.py": "def total(items):\n    return sum(items)\n",
    "docs/old.md": "Old.\n",
    "run.sh": "#!/bin/sh\n",
    "empty": "",
    "logo.png": b"\x89PNG\0",
}
FIX = "open('cart.py', 'a').write('# refunds count\\n'); print('Added refunds.')"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "code"
    for name, content in ORIGINAL.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "link").symlink_to("cart.py")
    return folder


def assignment(
    checkout: Path,
    agent: str = FIX,
    *,
    outputs: Mapping[str, int] | None = None,
    config: Mapping[str, Any] | None = None,
    **limits: Any,
) -> Assignment:
    return Assignment(
        name="acme/shop#7",
        prompt="fix-bug",
        instruction="Count refunds.",
        system="Be brief.",
        config={"command": [sys.executable, "-c", agent], **(config or {})},
        limits=limits,
        outputs={"patch": 1} if outputs is None else outputs,
        checkout=checkout,
    )


async def carried_out(work: Assignment, settings: Settings | None = None) -> Report:
    async def say(_: str) -> None:
        return

    executor = executor_for("agent", settings or Settings())
    assert executor.needs_checkout
    executor.prepare(work)
    report = await executor.run(work, say)
    assert work.checkout is not None
    assert names_in(work.checkout.parent) == ["code"]
    return report


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def patched(report: Report) -> dict[str, bytes | None]:
    """Return the files that the proposed patch leaves, as the check of outputs applies it."""
    (patch,) = [one for one in report.proposals if isinstance(one, Patch)]

    def read(path: str) -> bytes | None:
        content = ORIGINAL.get(path)
        return content.encode() if isinstance(content, str) else content

    return apply(read_patch(patch.diff, paths=None), read)


async def test_its_changes_are_a_patch(checkout: Path, walls: Sandbox) -> None:
    agent = (
        "import os\n"
        "open('cart.py', 'a').write('# refunds count\\n')\n"
        "os.remove('docs/old.md'); os.remove('run.sh'); os.remove('empty')\n"
        "os.mkdir('new'); open('new/a b.py', 'w').write('x = \\'é\\''); open('new/none', 'w')\n"
        "print('\\x1b[1mThinking\\x1b[0m 1%\\rThinking 100%\\n\\nRefunds count now.')\n"
    )

    report = await carried_out(assignment(checkout, agent, outputs={"patch": 1, "comment": 1, "message": 1}))

    assert report.succeeded
    assert report.headline.startswith("6 files changed, in ")
    assert patched(report) == {
        "cart.py": b"def total(items):\n    return sum(items)\n# refunds count\n",
        "docs/old.md": None,
        "run.sh": None,
        "empty": None,
        "new/a b.py": "x = 'é'".encode(),
        "new/none": b"",
    }
    patch, comment, message = report.proposals
    words = "Thinking 100%\n\nRefunds count now."
    assert (comment, message) == (Comment(words), Message(words))
    assert isinstance(patch, Patch)
    assert (patch.title, patch.body) == ("fix-bug: acme/shop#7", words)
    assert report.sandbox == walls.level.value


@pytest.mark.parametrize("sandbox", [SandboxUse.AUTO, SandboxUse.OFF])
@pytest.mark.parametrize("config", [{}, {"prompt_by": "file"}], ids=["stdin", "file"])
async def test_it_is_told_on_its_standard_input_or_in_a_file(
    checkout: Path, config: dict[str, Any], sandbox: SandboxUse
) -> None:
    agent = (
        "import os, sys\n"
        "named = sys.argv[1]\n"
        "print(repr(sys.stdin.read() or open(named).read()), named in ('{prompt' + '_file}', os.environ.get("
        "'CONTEXTEN_PROMPT_FILE')), os.environ['MODE'], os.environ['OPENAI_API_KEY'][:2])\n"
    )
    work = assignment(
        checkout,
        config={
            **config,
            "command": [sys.executable, "-c", agent, "{prompt_file}"],
            "environment": {"MODE": "fast"},
            "provider": "openai",
        },
    )

    report = await carried_out(work, Settings(sandbox=sandbox, openai_api_key=SecretStr("sk-canary-of-the-provider")))

    assert report.log == "'Be brief.\\n\\nCount refunds.\\n' True fast sk\n"
    assert report.headline.startswith("Nothing changed, in ")
    assert report.proposals == ()


async def test_what_no_patch_can_hold_is_left_out_and_named(checkout: Path, walls: Sandbox) -> None:
    agent = (
        "import os, socket\n"
        "open('cart.py', 'a').write('# ok\\n')\n"
        "open('binary', 'wb').write(b'\\0'); open('latin', 'wb').write(b'\\xe9'); open('logo.png', 'ab').write(b'x')\n"
        "open(b'odd\\xff', 'w').write('x'); open('two\\nlines', 'w').write('x'); open('a\\\\b', 'w').write('x')\n"
        "open('huge', 'wb').truncate(10**9); open('tool', 'w').write('x'); os.chmod('tool', 0o755)\n"
        "os.symlink('/etc/passwd', 'passwd'); os.remove('link'); os.symlink('/etc/shadow', 'link')\n"
        "os.mkfifo('pipe'); socket.socket(socket.AF_UNIX).bind('socket')\n"
        "os.chmod('run.sh', 0o755); os.remove('empty'); os.mkdir('empty'); open('empty/file', 'w').write('x')\n"
        "os.makedirs('__pycache__/x'); open('__pycache__/x/y.pyc', 'w').write('x')\n"
        "os.mkdir('.git'); open('.git/config', 'w').write('x')\n"
        "[(os.mkdir('d'), os.chdir('d')) for _ in range(150)]; open('deep', 'w').write('x')\n"
    )

    report = await carried_out(assignment(checkout, agent))

    assert patched(report).keys() == {"cart.py", "tool"}
    assert "left out: a\\b (has characters" in report.headline
    left_out = report.evidence["left_out"]
    assert left_out["passwd"] == left_out["link"] == "is a symbolic link"
    assert left_out["pipe"] == left_out["socket"] == "is neither a file nor a folder"
    assert left_out["binary"] == "is no text"
    assert left_out["latin"] == left_out["logo.png"] == "is no text in UTF-8"
    assert left_out["empty"] == "was a file, and is a folder"
    assert left_out["run.sh"] == "has another mode only"
    assert left_out["tool"] == "its mode: a patch makes no executable files"
    assert "2,097,152 bytes" in left_out["huge"]
    assert any("cannot be looked into" in why for why in left_out.values())
    assert not any(path.startswith((".git", "__pycache__", "empty/")) for path in left_out)


@pytest.mark.parametrize(
    ("agent", "why"),
    [
        ("[open(f'f{n}', 'w').write('x') for n in range(201)]", "it changed more than 200 files"),
        ("[open(f'f{n}', 'w').write('x' * 2_000_000) for n in range(40)]", "33,554,432 bytes"),
        ("open('f', 'w').write('x' * 1_500_000)", "too much for a patch"),
    ],
)
async def test_what_is_too_much_is_no_patch(checkout: Path, walls: Sandbox, agent: str, why: str) -> None:
    report = await carried_out(assignment(checkout, agent))

    assert why in report.headline
    assert report.proposals == ()


async def test_what_the_prompt_does_not_allow_is_not_proposed(checkout: Path, walls: Sandbox) -> None:
    report = await carried_out(assignment(checkout, outputs={}))

    assert "1 file changed, which the prompt does not allow to be proposed" in report.headline
    assert report.evidence["files"] == ["cart.py"]
    assert report.proposals == ()


async def test_an_agent_that_fails_or_takes_too_long_proposes_nothing(checkout: Path, walls: Sandbox) -> None:
    failed = await carried_out(assignment(checkout, f"{FIX}; raise SystemExit(3)", outputs={"patch": 1, "comment": 1}))
    slow = await carried_out(assignment(checkout, f"{FIX}; import time; time.sleep(60)", wall_seconds=0.5))

    assert (failed.ended, failed.succeeded, failed.exit_code, failed.proposals) == (Ended.EXITED, False, 3, ())
    assert (slow.ended, slow.succeeded, slow.proposals) == (Ended.TIMED_OUT, False, ())


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
async def test_nothing_that_it_plants_for_git_is_ever_run(
    checkout: Path, walls: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = tmp_path / "executed"
    hook = f"#!/bin/sh\ntouch {witness}\n"
    agent = (
        "import os\n"
        f"hook = {hook!r}\n"
        "os.makedirs('.git/hooks'); os.makedirs('.git/objects'); os.makedirs('.git/refs')\n"
        "open('.git/HEAD', 'w').write('ref: refs/heads/main\\n')\n"
        "open('evil.sh', 'w').write(hook); os.chmod('evil.sh', 0o755)\n"
        "open('.git/config', 'w').write('[core]\\n fsmonitor = ./evil.sh\\n pager = ./evil.sh\\n"
        "[diff]\\n external = ./evil.sh\\n[filter \\x22x\\x22]\\n clean = ./evil.sh\\n smudge = ./evil.sh\\n')\n"
        "for name in ('post-index-change', 'pre-commit', 'post-checkout'):\n"
        "    open('.git/hooks/' + name, 'w').write(hook); os.chmod('.git/hooks/' + name, 0o755)\n"
        "open('.gitattributes', 'w').write('* filter=x diff=x\\n')\n"
        "open('cart.py', 'a').write('# changed\\n')\n"
    )
    started: list[object] = []
    popen = subprocess.Popen.__init__

    def watched(self: Any, arguments: Any, *rest: Any, **named: Any) -> None:
        started.append(arguments)
        popen(self, arguments, *rest, **named)

    monkeypatch.setattr(subprocess.Popen, "__init__", watched)

    report = await carried_out(assignment(checkout, agent))

    assert report.succeeded
    assert not witness.exists()
    assert report.evidence["files"] == [".gitattributes", "cart.py", "evil.sh"]
    assert not any("git" in os.path.basename(str(line[0])) for line in started if isinstance(line, list))  # noqa: PTH119
    assert len(started) == 1


async def test_hostile_instructions_leave_nothing_but_a_patch(
    checkout: Path, walls: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "canary-of-the-environment")
    outside = tmp_path / "outside"
    outside.write_text("canary-of-a-file")
    agent = (
        "import glob, os, pathlib, socket, subprocess, sys\n"
        "found = [repr(dict(os.environ))]\n"
        "def attempt(what):\n"
        "    try: found.append(repr(what()))\n"
        "    except OSError as error: found.append(type(error).__name__)\n"
        f"attempt(lambda: open({str(outside)!r}).read()); attempt(lambda: open({str(outside)!r}, 'w').write('x'))\n"
        "for path in glob.glob('/proc/[0-9]*/environ'): attempt(lambda path=path: open(path).read())\n"
        "attempt(lambda: open('../planted', 'w')); attempt(lambda: os.symlink('/', 'root'))\n"
        "attempt(lambda: socket.create_connection(('127.0.0.1', 80), 0.2))\n"
        "attempt(lambda: os.ftruncate(0, 10**9)); attempt(lambda: open('/proc/self/fd/0', 'w').write('x' * 10**6))\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "os.makedirs('.github/workflows'); open('.github/workflows/evil.yml', 'w').write('on: push\\n')\n"
        "print(*found)\n"
    )

    report = await carried_out(assignment(checkout, agent, config={"prompt_by": "stdin"}))

    assert report.succeeded, report.log
    assert "canary" not in report.log
    assert outside.read_text() == "canary-of-a-file"
    assert names_in(tmp_path) == ["outside", "work"]
    (patch,) = report.proposals
    assert isinstance(patch, Patch)
    with pytest.raises(Exception, match="protected"):
        read_patch(patch.diff, paths=None)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"command": []}, "has no command"),
        ({"prompt_by": "argument"}, "neither stdin nor file"),
        ({"environment": {"A": 1}}, "no mapping of texts"),
        ({"provider": "anthropic"}, "none is configured"),
        ({"provider": ["openai"]}, "none is configured"),
    ],
)
async def test_what_is_missing_is_said_before_it_starts(checkout: Path, config: dict[str, Any], why: str) -> None:
    bare = Settings(openai_api_key=None, anthropic_api_key=None)

    with pytest.raises(ConfigurationError, match=why):
        await carried_out(assignment(checkout, config=config), bare)


_LINES = st.lists(st.sampled_from(["a", "b", "", "c c", "\r", "é", "-x", "+x", "@@", "\\ x"]), max_size=30)


@given(old=_LINES, new=_LINES, ends=st.tuples(st.booleans(), st.booleans()))
def test_a_diff_makes_the_new_file_of_the_old_one(old: list[str], new: list[str], ends: tuple[bool, bool]) -> None:
    before, after = (
        ("\n".join(lines) + ("\n" if is_ended and lines else "")).encode()
        for lines, is_ended in zip((old, new), ends, strict=True)
    )
    if before == after:
        return

    patch = read_patch(diff_of(Change("a.txt", before, after)), paths=None)

    assert apply(patch, lambda _: before) == {"a.txt": after}


def test_a_diff_of_many_like_lines_is_made_at_once_and_a_small_change_is_small() -> None:
    many = [b"x\n", b"y\n"] * 50_000
    diff_of(Change("a", b"".join(many), b"".join(reversed(many))))
    lines = [f"line {number}\n".encode() for number in range(10_000)]
    changed = [*lines[:4000], b"new\n", *lines[4001:9000], *lines[9005:]]

    assert diff_of(Change("a", b"".join(lines), b"".join(changed))).count("\n") < 30
