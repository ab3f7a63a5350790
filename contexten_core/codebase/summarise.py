"""Figures of files to totals of a codebase, to which single files can be added and from which they can be taken."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from operator import attrgetter

from contexten_core.codebase.commit import FileSummary
from contexten_core.codebase.facts import CodebaseFacts, FileNote, LanguageTotals
from contexten_core.codebase.languages import SOURCE_LANGUAGES
from contexten_core.codebase.maintainability import mean_score

_NOTED = 1000
_LINES = ("code", "comment", "blank")
_LINES_OF = attrgetter(*(f"{name}_lines" for name in _LINES))
_SUMMED = ("lines", "functions", "classes", "complexity", "todos", "function_lines", "maintainability")
_SUMMED_OF = attrgetter(*_SUMMED)


class Tally:
    """Sums over files. Of whole numbers, so that the order of additions never shows.

    Attributes:
        counts: by what is counted; never 0.
    """

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self.counts = dict(counts or {})

    def add(self, file: FileSummary, *, times: int = 1) -> None:
        """Add a file, or with `times=-1` take it away."""
        self._count("files", times)
        for name, value in zip(_SUMMED, _SUMMED_OF(file), strict=True):
            if value:
                self._count(name, times * value)
        if file.language is not None:
            files, *names = _names_of(file.language)
            self._count(files, times)
            for name, value in zip(names, _LINES_OF(file), strict=True):
                if value:
                    self._count(name, times * value)
        if file.note is not None:
            self._count("noted", times)

    def __getitem__(self, name: str) -> int:
        return self.counts.get(name, 0)

    @property
    def maintainability(self) -> float | None:
        return mean_score(weighted=self["maintainability"], lines=self["function_lines"])

    @property
    def mean_complexity(self) -> float | None:
        """The mean cyclomatic complexity of a function."""
        return round(self["complexity"] / self["functions"], 2) if self["functions"] else None

    def totals(self, files: Mapping[str, FileSummary]) -> CodebaseFacts:
        """Return the totals of the files that were added."""
        languages = {
            name: LanguageTotals(files=count, **{line: self[f"{line} of {name}"] for line in _LINES})
            for key, count in self.counts.items()
            if (name := key.removeprefix("files of ")) != key
        }
        ordered = dict(sorted(languages.items(), key=lambda item: (-item[1].code, item[0])))
        noted = [FileNote(path, file.note) for path, file in files.items() if file.note] if self["noted"] else []
        noted.sort(key=lambda note: (note.path, note.note))
        return CodebaseFacts(
            files=self["files"],
            lines=self["lines"],
            functions=self["functions"],
            classes=self["classes"],
            languages=ordered,
            primary_language=next(iter(sorted(ordered, key=lambda name: name not in SOURCE_LANGUAGES)), None),
            notes=dict(sorted(Counter(note.note for note in noted).items())),
            noted=tuple(noted[:_NOTED]),
        )

    def _count(self, name: str, change: int) -> None:
        value = self.counts.get(name, 0) + change
        if value:
            self.counts[name] = value
        else:
            self.counts.pop(name, None)


@cache
def _names_of(language: str) -> tuple[str, ...]:
    """Return what is counted of a language, of which there are a hundred at most."""
    return (f"files of {language}", *(f"{name} of {language}" for name in _LINES))


def summarise(files: Iterable[FileSummary]) -> CodebaseFacts:
    """Sum up files. The same files in another order give the same totals."""
    tally, by_path = Tally(), {}
    for file in files:
        tally.add(file)
        by_path[file.path] = file
    return tally.totals(by_path)
