"""What is stored of one content: its facts, packed, and behind them what every commit that holds it needs.

The packed facts come first, so `FileFacts.unpack` reads a record as it is. Figures and outline follow apart, because a
commit of thousands of files needs those of each, and the facts of hardly any. A brief record has what people are shown
of the file in place of the facts: all that the command line needs, in less time.
"""

import json
import struct
import zlib
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from contexten_core.codebase.analyse import analyse_file
from contexten_core.codebase.commit import FileSummary
from contexten_core.codebase.entry_points import entry_points_in
from contexten_core.codebase.facts import ANALYSER_VERSION, FileFacts, Note
from contexten_core.codebase.import_settings import SETTINGS_NAMES, import_settings
from contexten_core.codebase.languages import file_kind, language_by_path
from contexten_core.codebase.maintainability import function_score
from contexten_core.codebase.outline import Outline, outline_of

RECORD_VERSION = f"{ANALYSER_VERSION}.1"
"""Part of the key of records: raise the second number with every change of what stands behind the facts."""

CRASHED = "analysing it ended the process, everything left out"

_LENGTH = struct.Struct(">I")
_JSON = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Form(StrEnum):
    """What stands in front of a record."""

    WHOLE = "whole"
    BRIEF = "brief"


class Record(NamedTuple):
    """What a commit needs of one content.

    Attributes:
        figures: those of FileSummary, from `language` on.
        outline: encoded, see Outline.
    """

    figures: tuple[Any, ...]
    outline: bytes

    def summary(self, *, path: str, blob_id: str) -> FileSummary:
        return FileSummary(path, blob_id, record_kind(path), *self.figures)


def record_kind(path: str) -> str:
    """Return what a file's name says of how to read it: equal content of equal kind has equal records."""
    return _kind_of_name(path.rpartition("/")[2])


@lru_cache(maxsize=1 << 12)
def _kind_of_name(name: str) -> str:
    return f"{file_kind(name)}@{name}" if name in SETTINGS_NAMES else file_kind(name)


def pack_record(*, path: str, data: bytes, form: Form = Form.WHOLE) -> bytes:
    """Analyse a file, and return its record packed; whatever the bytes are, there is one."""
    facts = analyse_file(path=path, data=data, is_brief=form is Form.BRIEF)
    outline = outline_of(
        facts, entry_points=entry_points_in(path=path, data=data, facts=facts), settings=import_settings(path, data)
    )
    return _packed(facts, outline, form)


def crashed_record(*, path: str, form: Form = Form.WHOLE) -> bytes:
    """Return the record of a file that cannot be analysed without ending the process."""
    language = language_by_path(path)
    facts = FileFacts(path=path, language=language.name if language else None, note=CRASHED)
    return _packed(facts, Outline(), form)


def read_record(packed: bytes) -> Record:
    (length,) = _LENGTH.unpack(packed[-_LENGTH.size :])
    tail = zlib.decompress(packed[-_LENGTH.size - length : -_LENGTH.size])
    figures, _, outline = tail.partition(b"\n")
    return Record(tuple(json.loads(figures)), outline)


def shown_of(packed: bytes) -> bytes:
    """Return what a brief record shows of its file: the members of a JSON object, in ASCII, but for path and roles."""
    (length,) = _LENGTH.unpack(packed[-_LENGTH.size :])
    return zlib.decompress(packed[: -_LENGTH.size - length])


def is_kept(record: Record) -> bool:
    """Tell whether the record may be stored: what took too long or crashed here may not elsewhere."""
    note = record.figures[-1] or ""
    return Note.TOO_SLOW not in note and CRASHED not in note


def _packed(facts: FileFacts, outline: Outline, form: Form) -> bytes:
    tail = zlib.compress(_JSON(_figures(facts)).encode() + b"\n" + outline.encode(), level=1)
    return _FRONTS[form](facts) + tail + _LENGTH.pack(len(tail))


def _shown(facts: FileFacts) -> bytes:
    members = {
        "language": facts.language,
        "lines": facts.lines,
        "functions": [
            {"name": one.name, "line": one.line, "end_line": one.end_line, "complexity": one.complexity}
            for one in facts.functions
        ],
        "classes": [{"name": one.name, "line": one.line, "end_line": one.end_line} for one in facts.classes],
        "imports": [{"module": one.module, "line": one.line, "names": one.names} for one in facts.imports],
        "note": facts.note,
    }
    return zlib.compress(_JSON(members)[1:-1].encode(), level=1)


_FRONTS: dict[Form, Callable[[FileFacts], bytes]] = {Form.WHOLE: FileFacts.pack, Form.BRIEF: _shown}


def _figures(facts: FileFacts) -> tuple[Any, ...]:
    functions = facts.functions
    complexities = [function.complexity for function in functions]
    lengths = [function.end_line - function.line + 1 for function in functions]
    summary = FileSummary(
        path="",
        blob_id="",
        kind="",
        language=facts.language,
        lines=facts.lines,
        code_lines=facts.code_lines,
        comment_lines=facts.comment_lines,
        blank_lines=facts.blank_lines,
        functions=len(functions),
        classes=len(facts.classes),
        complexity=sum(complexities),
        most_complex=max(complexities, default=0),
        cognitive=sum([function.cognitive for function in functions]),
        todos=len(facts.todos),
        function_lines=sum(lengths),
        maintainability=sum(
            [
                function_score(lines=lines, complexity=complexity) * lines
                for lines, complexity in zip(lengths, complexities, strict=True)
            ]
        ),
        is_generated=facts.is_generated,
        package=facts.package,
        note=facts.note,
    )
    return summary[3:]
