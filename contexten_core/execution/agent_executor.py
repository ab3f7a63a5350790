"""The agent executor: any command-line coding agent, on a checkout, in the sandbox; what it changed becomes a patch.

It holds no credentials of ours but, where the prompt says so, the key of one provider of language models. Its changes
are told by comparing files, and never by running git where it has been.
"""

import asyncio
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from contexten_core.errors import ConfigurationError, ExecutionError
from contexten_core.execution.agent_diff import diff_of
from contexten_core.execution.agent_tree import Changes, Original
from contexten_core.execution.command_executor import (
    arguments_of,
    limits_of,
    report_of,
    run_on_checkout,
    sandbox_of,
)
from contexten_core.execution.executor import Assignment, Report, Say
from contexten_core.execution.proposals import Patch, Proposal
from contexten_core.execution.replies import final_words, replies
from contexten_core.execution.results import CommandResult
from contexten_core.execution.sandbox import SandboxLevel
from contexten_core.execution.sandbox_mounts import HOME
from contexten_core.execution.trees import remove_tree
from contexten_core.outputs.patch import LARGEST
from contexten_core.security.text import one_line, shorten
from contexten_core.settings import Settings

PROMPT_FILE = "CONTEXTEN_PROMPT_FILE"
"""The variable that names the file with the prompt; `{prompt_file}` among the arguments stands for the same."""

_PLACEHOLDER = "{prompt_file}"
_FILE_NAME = "prompt.md"
_LONGEST_WORDS = 4_000
_LONGEST_TITLE = 200
_LONGEST_HEADLINE = 500
_MOST_NAMED = 20


class AgentExecutor:
    """Runs the coding agent that the prompt names; its exit code decides."""

    needs_checkout = True
    context_tokens = 0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self, assignment: Assignment) -> None:
        arguments_of(assignment)
        limits_of(assignment)
        sandbox_of(self._settings)
        _prompt_by(assignment)
        self._environment(assignment)

    async def run(self, assignment: Assignment, say: Say) -> Report:
        """Have the agent work, then compare the checkout with what it was.

        Raises:
            ConfigurationError: a sandbox is required and there is none.
            ExecutionError: the agent could not be started, or there is no room beside the checkout.
        """
        checkout = assignment.checkout
        assert checkout is not None
        try:
            with tempfile.TemporaryFile(dir=checkout.parent) as kept:
                original = await asyncio.to_thread(Original, checkout, kept)
                result = await self._work(assignment, checkout, say)
                changes = await asyncio.to_thread(original.changes)
                return await asyncio.to_thread(_report, assignment, result, changes)
        except OSError as error:
            raise ExecutionError(
                f"the checkout cannot be kept to be compared with: {os.strerror(error.errno or 0)}",
                hint="is there room left where checkouts are?",
            ) from error

    async def _work(self, assignment: Assignment, checkout: Path, say: Say) -> CommandResult:
        arguments = arguments_of(assignment)
        environment = self._environment(assignment)
        text = _text(assignment)
        if _prompt_by(assignment) == "stdin":
            return await run_on_checkout(
                self._settings, assignment, say, arguments, stdin=text, environment=environment
            )
        scratch = Path(tempfile.mkdtemp(prefix=".contexten-", dir=checkout.parent))
        try:
            home = scratch / "home"
            home.mkdir(mode=0o700)
            (home / _FILE_NAME).write_bytes(text)
            is_walled = sandbox_of(self._settings).level is not SandboxLevel.NONE
            file = str((HOME if is_walled else home) / _FILE_NAME)
            return await run_on_checkout(
                self._settings,
                assignment,
                say,
                [argument.replace(_PLACEHOLDER, file) for argument in arguments],
                environment={**environment, PROMPT_FILE: file},
                scratch=scratch,
            )
        finally:
            await asyncio.to_thread(remove_tree, scratch)

    def _environment(self, assignment: Assignment) -> dict[str, str]:
        """Return the variables that the prompt gives, and those of its provider of models.

        Raises:
            ConfigurationError: they are no texts, or the provider has no key.
        """
        given = assignment.config.get("environment", {})
        if not isinstance(given, Mapping) or not all(isinstance(part, str) for pair in given.items() for part in pair):
            raise ConfigurationError(f"the environment of the prompt {assignment.prompt} is no mapping of texts")
        return {**given, **self._key(assignment)}

    def _key(self, assignment: Assignment) -> dict[str, str]:
        provider = assignment.config.get("provider")
        if provider is None:
            return {}
        settings = self._settings
        known: dict[Any, tuple[SecretStr | None, str | None]] = {
            "openai": (settings.openai_api_key, settings.openai_base_url),
            "anthropic": (settings.anthropic_api_key, settings.anthropic_base_url),
        }
        key, address = known.get(provider, (None, None)) if isinstance(provider, str) else (None, None)
        if key is None:
            raise ConfigurationError(
                f"the prompt {assignment.prompt} gives its agent the key of {provider!r}, and none is configured",
                hint="set OPENAI_API_KEY or ANTHROPIC_API_KEY, whichever it names",
            )
        name = str(provider).upper()
        found = {f"{name}_API_KEY": key.get_secret_value()}
        return found if address is None else {**found, f"{name}_BASE_URL": address}


def _prompt_by(assignment: Assignment) -> str:
    how = assignment.config.get("prompt_by", "stdin")
    if how not in ("stdin", "file"):
        raise ConfigurationError(f"prompt_by of the prompt {assignment.prompt} is {how!r}, neither stdin nor file")
    return str(how)


def _text(assignment: Assignment) -> bytes:
    parts = [part.strip() for part in (assignment.system, assignment.instruction) if part and part.strip()]
    return ("\n\n".join(parts) + "\n").encode(errors="replace")


def _report(assignment: Assignment, result: CommandResult, changes: Changes) -> Report:
    report = report_of(result)
    evidence: dict[str, Any] = {
        **report.evidence,
        "files": [change.path for change in changes.files],
        "left_out": dict(islice(sorted(changes.left_out.items()), _MOST_NAMED)),
    }
    if not result.succeeded:
        # Half a change helps nobody; what it was is in the evidence.
        return replace(report, evidence=evidence)
    words = final_words(result.output, _LONGEST_WORDS)
    patch, said = _patch(assignment, changes, words)
    proposals: tuple[Proposal, ...] = replies(words, assignment.outputs)
    return replace(
        report,
        headline=shorten(f"{said}, in {result.duration_seconds:.1f} s{_left_out(changes)}", _LONGEST_HEADLINE),
        proposals=proposals if patch is None else (patch, *proposals),
        evidence=evidence,
    )


def _patch(assignment: Assignment, changes: Changes, words: str) -> tuple[Patch | None, str]:
    """Return the patch that is proposed, and what was done, for people."""
    if changes.problem is not None:
        return None, f"No patch, since {changes.problem}"
    if not changes.files:
        return None, "Nothing changed that a patch could hold" if changes.left_out else "Nothing changed"
    count = len(changes.files)
    said = f"{count} file{'' if count == 1 else 's'} changed"
    if assignment.outputs.get("patch", 0) < 1:
        return None, f"{said}, which the prompt does not allow to be proposed"
    diff, size = [], 0
    for change in changes.files:
        part = diff_of(change)
        size += len(part.encode())
        if size > LARGEST:
            return None, f"{said}, too much for a patch, which has {LARGEST:,} bytes at most"
        diff.append(part)
    title = one_line(f"{assignment.prompt}: {assignment.name}", _LONGEST_TITLE)
    return Patch("".join(diff), title, "\n\n".join(part for part in (words, _left_out(changes)[2:]) if part)), said


def _left_out(changes: Changes) -> str:
    if not changes.left_out:
        return ""
    named = [f"{one_line(path, 100)} ({why})" for path, why in islice(sorted(changes.left_out.items()), 3)]
    more = len(changes.left_out) - len(named)
    return f"; left out: {', '.join(named)}{f' and {more:,} more' if more else ''}"
