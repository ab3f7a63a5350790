"""Facts of files to totals of a codebase."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from contexten_core.codebase.facts import CodebaseFacts, FileFacts, FileNote, LanguageTotals
from contexten_core.codebase.languages import SOURCE_LANGUAGES

_NOTED = 1000


def summarise(files: Iterable[FileFacts]) -> CodebaseFacts:
    """Sum up the facts of files. The same files in another order give the same totals."""
    counts: Counter[str] = Counter()
    lines: defaultdict[str, Counter[str]] = defaultdict(Counter)
    noted = []
    for file in files:
        counts.update(files=1, lines=file.lines, functions=len(file.functions), classes=len(file.classes))
        if file.language is not None:
            lines[file.language].update(
                files=1, code=file.code_lines, comment=file.comment_lines, blank=file.blank_lines
            )
        if file.note is not None:
            noted.append(FileNote(path=file.path, note=file.note))
    languages = {
        name: LanguageTotals(files=of["files"], code=of["code"], comment=of["comment"], blank=of["blank"])
        for name, of in sorted(lines.items(), key=lambda item: (-item[1]["code"], item[0]))
    }
    noted.sort(key=lambda note: (note.path, note.note))
    return CodebaseFacts(
        files=counts["files"],
        lines=counts["lines"],
        functions=counts["functions"],
        classes=counts["classes"],
        languages=languages,
        primary_language=next(iter(sorted(languages, key=lambda name: name not in SOURCE_LANGUAGES)), None),
        notes=dict(sorted(Counter(note.note for note in noted).items())),
        noted=tuple(noted[:_NOTED]),
    )
