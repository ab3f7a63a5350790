"""An analysis as a person reads it."""

from heapq import nlargest

from rich.markup import escape

from contexten.cli.output import out, print_table
from contexten_core.codebase.analysis import Analysis, roles_of
from contexten_core.codebase.whole import NO_COMMIT
from contexten_core.security.text import one_line

_MOST_SHOWN = 10
_MOST_LANGUAGES = 15
_MOST_NOTES = 5
_LONGEST_LINE = 200


def show(analysis: Analysis) -> None:
    """Print what is most worth knowing of a commit."""
    facts, around = analysis.facts, analysis.surroundings
    totals = facts.totals
    at = "no commit yet" if facts.commit == NO_COMMIT else facts.commit[:12]
    out.print(f"[bold]{escape(analysis.name)}[/]  {at}")
    out.print(
        f"  {totals.files:,} files, {totals.lines:,} lines, {totals.functions:,} functions, {totals.classes:,} classes"
        f"  [dim]{analysis.duration_seconds:.1f} s[/]"
    )
    if facts.maintainability is not None:
        out.print(f"  maintainability {facts.maintainability:.0f} of 100")
    _show_languages(analysis)
    _show_functions(analysis)
    if around.hot_spots:
        rows = [
            (_shown(spot.path), str(spot.commits), str(spot.complexity), f"{spot.score:.2f}")
            for spot in around.hot_spots[:_MOST_SHOWN]
        ]
        print_table("\nHot spots: complex, and often changed", ("file", "commits", "complexity", "score"), rows)
    out.print()
    tests = around.tests
    folders = ", ".join(tests.folders[:5])
    out.print(f"  tests         {tests.files:,} files" + (f" in {_shown(folders)}" if folders else ""))
    for command in tests.commands[:3]:
        out.print(f"                {escape(command.command)}  [dim]{_shown(command.reason)}[/]")
    locked = sum(dependency.version is not None for dependency in around.manifests.dependencies)
    out.print(f"  dependencies  {len(around.manifests.dependencies):,}, {locked:,} of them at a known version")
    out.print(f"  entry points  {len(facts.entry_points):,}")
    out.print(f"  imports       {sum(map(len, facts.modules.imports.values())):,} between files of the repository")
    out.print(f"  cycles        {len(facts.modules.cycles):,}")
    for cycle in facts.modules.cycles[:3]:
        out.print(f"                [dim]{_shown(' → '.join(cycle[:5]))}{' …' if len(cycle) > 5 else ''}[/]")  # noqa: PLR2004
    _show_left_out(analysis)


def _show_languages(analysis: Analysis) -> None:
    languages = list(analysis.facts.totals.languages.items())
    rows = [
        (escape(name), f"{one.files:,}", f"{one.code:,}", f"{one.comment:,}", f"{one.blank:,}")
        for name, one in languages[:_MOST_LANGUAGES]
    ]
    if rows:
        print_table("\nLanguages", ("language", "files", "code", "comment", "blank"), rows)
    if len(languages) > _MOST_LANGUAGES:
        out.print(f"[dim]and {len(languages) - _MOST_LANGUAGES} more; --json shows them[/]")


def _show_functions(analysis: Analysis) -> None:
    facts = analysis.facts
    # Whichever are most complex, they are in the files whose most complex function is.
    own = [file for file in facts.files.values() if not roles_of(file.path, says_generated=file.is_generated)]
    files = nlargest(_MOST_SHOWN, own, key=lambda file: (file.most_complex, file.path))
    symbols = [symbol for file in files for symbol in facts.symbols(file.path) if symbol.complexity > 1]
    most = nlargest(_MOST_SHOWN, symbols, key=lambda symbol: (symbol.complexity, symbol.path, symbol.line))
    rows = [(str(one.complexity), escape(one.name), f"{_shown(one.path)}:{one.line}") for one in most]
    if rows:
        print_table("\nMost complex functions, tests left out", ("complexity", "function", "place"), rows)


def _show_left_out(analysis: Analysis) -> None:
    facts = analysis.facts
    said = [f"{entry.count:,} × {entry.reason}" if entry.count else entry.reason for entry in facts.left_out]
    said += [f"{count:,} × {note}" for note, count in facts.totals.notes.items()]
    said += analysis.surroundings.notes[:_MOST_NOTES]
    for number, text in enumerate(said):
        out.print(f"  {'left out' if number == 0 else '':<14}{_shown(text)}")


def _shown(text: str) -> str:
    """Return outside text for one line of a terminal."""
    return escape(one_line(text, _LONGEST_LINE))
