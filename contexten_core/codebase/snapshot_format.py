"""Snapshots as bytes: one compressed JSON document of columns, and behind it the groups of outlines as they are.

Columns and numbers instead of names make it small and quick to read; the outlines, most of it, are not opened at all.
"""

import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contexten_core.codebase.commit import CommitFacts, FileSummary, LeftOut
from contexten_core.codebase.entry_points import EntryPoint
from contexten_core.codebase.graph import Imports, ModuleGraph
from contexten_core.codebase.outlines import Outlines
from contexten_core.codebase.snapshot import Snapshot, call_graph
from contexten_core.codebase.summarise import Tally

_LENGTH = struct.Struct(">I")
_NAMED = frozenset({"kind", "language", "package", "note"})


def encode(snapshot: Snapshot) -> bytes:
    facts = snapshot.facts
    numbers = {path: number for number, path in enumerate(facts.files)}
    columns = list(zip(*facts.files.values(), strict=True))
    outside = sorted({name for names in facts.modules.external.values() for name in names})
    document = {
        "commit": facts.commit,
        "files": [
            _by_number(column) if name in _NAMED else column
            for name, column in zip(FileSummary._fields, columns, strict=bool(columns))
        ],
        "imports": _edges(facts.modules.imports, numbers, numbers),
        "external": _edges(facts.modules.external, numbers, {name: number for number, name in enumerate(outside)}),
        "outside": outside,
        "cycles": facts.modules.cycles,
        "entry_points": facts.entry_points,
        "left_out": facts.left_out,
        "tally": snapshot.tally,
        "settings": snapshot.settings,
        "skipped": snapshot.skipped,
        "beyond": snapshot.beyond,
        "groups": [len(group) for group in snapshot.outlines.groups],
    }
    packed = zlib.compress(json.dumps(document, separators=(",", ":")).encode(), level=1)
    return b"".join((_LENGTH.pack(len(packed)), packed, *snapshot.outlines.groups))


def decode(data: bytes) -> Snapshot:
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size + length
    document = json.loads(zlib.decompress(data[_LENGTH.size : start]))
    groups = []
    for size in document["groups"]:
        groups.append(data[start : start + size])
        start += size
    columns = [
        _by_name(column) if name in _NAMED else column
        for name, column in zip(FileSummary._fields, document["files"], strict=bool(document["files"]))
    ]
    files = {row[0]: FileSummary._make(row) for row in zip(*columns, strict=True)}
    paths = tuple(files)
    modules = ModuleGraph(
        imports=_targets(document["imports"], paths, paths),
        external=_targets(document["external"], paths, document["outside"]),
        cycles=tuple(tuple(cycle) for cycle in document["cycles"]),
    )
    tally = Tally(document["tally"])
    facts = CommitFacts(
        commit=document["commit"],
        files=files,
        totals=tally.totals(files),
        modules=modules,
        calls=call_graph(Outlines(paths, tuple(groups)), files, modules),
        entry_points=tuple(EntryPoint(*row) for row in document["entry_points"]),
        maintainability=tally.maintainability,
        left_out=tuple(LeftOut(why, count, tuple(shown)) for why, count, shown in document["left_out"]),
    )
    return Snapshot(facts, tally.counts, document["settings"], document["skipped"], document["beyond"])


def _by_number(column: Iterable[Any]) -> tuple[list[Any], list[int]]:
    numbers: dict[Any, int] = {}
    rows = [numbers.setdefault(value, len(numbers)) for value in column]
    return list(numbers), rows


def _by_name(column: tuple[list[Any], list[int]]) -> list[Any]:
    names, rows = column
    return [names[number] for number in rows]


def _edges(edges: Imports, sources: Mapping[str, int], targets: Mapping[str, int]) -> tuple[list[int], list[list[int]]]:
    return [sources[path] for path in edges], [[targets[name] for name in names] for names in edges.values()]


def _targets(edges: tuple[list[int], list[list[int]]], sources: Sequence[str], targets: Sequence[str]) -> Imports:
    return {sources[number]: tuple([targets[name] for name in names]) for number, names in zip(*edges, strict=True)}
