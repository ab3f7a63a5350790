"""The impact of a change as a person reads it."""

from rich.markup import escape

from contexten.cli.output import out, print_table
from contexten_core.codebase.impact import Impact, Reached
from contexten_core.security.text import one_line

_MOST_SHOWN = 15
_LONGEST_LINE = 200
_LEVELS = {"low": "green", "medium": "yellow", "high": "red"}


def show(found: Impact) -> None:
    """Print what a change reaches, what is most sure first."""
    added, gone = sum(change.added for change in found.files), sum(change.removed for change in found.files)
    out.print(f"[bold]{found.base[:12]}..{found.head[:12]}[/]  {len(found.files):,} files, +{added:,} -{gone:,} lines")
    risk = found.risk
    out.print(f"  risk [{_LEVELS[risk.level.value]}]{risk.score:.0f} of 100, {risk.level.value}[/]")
    parts = [
        (part.name.replace("_", " "), f"{part.value * part.weight:.1f} of {part.weight}", escape(part.evidence))
        for part in risk.parts
    ]
    print_table("\nRisk", ("sign", "points", "seen"), parts)
    symbols = [
        (one.change.value, one.kind, escape(one.name), f"{_shown(one.path)}:{one.line}", str(one.complexity or ""))
        for one in found.symbols[:_MOST_SHOWN]
    ]
    if symbols:
        print_table("\nChanged", ("", "kind", "name", "place", "complexity"), symbols)
        _and_more(len(found.symbols))
    _show_reached("Depends on it", found.reached)
    _show_reached("Tests that reach it", found.tests)
    if found.untested:
        out.print("\n[bold]No test reaches[/]")
        for name in found.untested[:_MOST_SHOWN]:
            out.print(f"  {_shown(name)}")
        _and_more(len(found.untested))
    out.print()
    owners = sorted({owner for owners in found.owners.values() for owner in owners})
    out.print(f"  owners         {_shown(', '.join(owners)) or 'nobody'}")
    out.print(f"  authors        {_shown(', '.join(found.authors)) or 'nobody before'}")
    out.print(f"  past failures  {len(found.past_failures)}")
    for text in found.left_out:
        out.print(f"  left out       {_shown(text)}")


def _show_reached(title: str, places: tuple[Reached, ...]) -> None:
    rows = [
        (
            str(one.depth),
            f"{one.confidence:.2f}",
            _shown(f"{one.path}:{one.name}".rstrip(":")),
            _shown(one.through.rstrip(":")),
        )
        for one in places[:_MOST_SHOWN]
    ]
    if rows:
        print_table(f"\n{title}", ("depth", "confidence", "place", "through"), rows)
        _and_more(len(places))


def _and_more(count: int) -> None:
    if count > _MOST_SHOWN:
        out.print(f"[dim]and {count - _MOST_SHOWN:,} more; --json shows them[/]")


def _shown(text: str) -> str:
    return escape(one_line(text, _LONGEST_LINE))
