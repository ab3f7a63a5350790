"""An index over prompts, so that an event is compared with the few that it can concern and not with all.

Each prompt is filed once, under one condition that has to hold for it to apply: of its comparisons by equality the one
that fewest prompts share, or else a text that must occur, of which all are looked for in one pass. Prompts that have
no such condition are looked at for every event.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from contexten_core.prompts.index.entry import Entry, LivePrompt, Predicate, Seen, Text, rank
from contexten_core.prompts.index.texts import Texts

__all__ = ["Judged", "LivePrompt", "PromptIndex", "rank"]

_TELLING = ("event.type", "event.provider", "event.action", "project.slug", "repository.full_name")
_CROWDED = 32


@dataclass(frozen=True, slots=True)
class Judged:
    """What an index found for an event.

    Attributes:
        applying: the prompts whose conditions hold, the winner first.
        missing: those that were looked at in vain, each with how many of its conditions hold, in the same order.
        elsewhere: how many were not looked at, by the field that tells why.
        unfinished: how many have no conditions.
    """

    applying: list[LivePrompt]
    missing: list[tuple[int, LivePrompt]]
    elsewhere: dict[str, int] = field(default_factory=dict)
    unfinished: int = 0


class PromptIndex:
    """Prompts, filed. It never changes; `revision` is the catalogue's that it was made of."""

    def __init__(self, entries: Sequence["Entry"], *, revision: int | None) -> None:
        self.revision = revision
        self.entries = {entry.live.spec.slug: entry for entry in entries}
        self._equal: dict[str, dict[Any, list[Entry]]] = defaultdict(lambda: defaultdict(list))
        self._texts: dict[str, Texts] = defaultdict(Texts)
        self._under: dict[Entry, str] = {}
        self._hidden: frozenset[Entry] = frozenset()
        self._rest: list[Entry] = []
        self._denied: dict[str, dict[Any, list[Entry]]] = defaultdict(lambda: defaultdict(list))
        self._unfinished = 0
        self._asks_later = any(entry.asks_later for entry in entries)
        self._file(entries)
        self._filed = Counter(self._under.values())

    @classmethod
    def build(
        cls, prompts: Iterable[LivePrompt], *, previous: "PromptIndex | None" = None, revision: int | None = None
    ) -> "PromptIndex":
        """File prompts, in whatever order. Of several with one slug the last counts.

        Args:
            previous: an index whose prepared prompts are taken over where they are the same objects.
        """
        known = {} if previous is None else previous.entries
        predicates: dict[Any, Predicate] = {}
        entries = {}
        for live in prompts:
            old = known.get(live.spec.slug)
            entries[live.spec.slug] = old if old is not None and old.live is live else Entry(live, predicates)
        return cls([entries[slug] for slug in sorted(entries)], revision=revision)

    def varied(self, prompts: Sequence[LivePrompt]) -> "PromptIndex":
        """Return an index of these, nearly all of which are the same objects as here: the others are not filed."""
        kept = {live.spec.slug for live in prompts if self._has(live)}
        added = [Entry(live, {}, is_filed=False) for live in prompts if live.spec.slug not in kept]
        gone = frozenset(entry for slug, entry in self.entries.items() if slug not in kept)
        entries = {slug: entry for slug, entry in self.entries.items() if slug in kept}
        entries |= {entry.live.spec.slug: entry for entry in added}
        index = copy(self)
        index.entries = {slug: entries[slug] for slug in sorted(entries)}
        index._hidden = self._hidden | gone  # noqa: SLF001 - our own copy
        index._filed = self._filed - Counter(self._under[entry] for entry in gone if entry in self._under)  # noqa: SLF001
        index._rest = [*self._rest, *(entry for entry in added if entry.whole)]  # noqa: SLF001
        index._unfinished = sum(not entry.whole for entry in entries.values())  # noqa: SLF001
        index._asks_later = any(entry.asks_later for entry in entries.values())  # noqa: SLF001
        return index

    def _has(self, live: LivePrompt) -> bool:
        entry = self.entries.get(live.spec.slug)
        return entry is not None and entry.live is live

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def prompts(self) -> list[LivePrompt]:
        """All prompts, by slug."""
        return [entry.live for entry in self.entries.values()]

    def get(self, slug: str) -> LivePrompt | None:
        entry = self.entries.get(slug)
        return None if entry is None else entry.live

    def candidates(self, fields: Mapping[str, Any]) -> list[LivePrompt]:
        """Return every prompt that may apply to an event, by what it is filed under; more than do apply."""
        return [entry.live for entry in self._near(Seen(fields), Counter())]

    def asks(self, fields: Mapping[str, Any]) -> frozenset[str]:
        """Return which of `codebase` and `change` decide about a prompt that could still apply to an event."""
        if not self._asks_later:
            return frozenset()
        seen = Seen(fields, assumed=True)
        refuted = self._refuted(seen)
        return frozenset(
            root
            for entry in self._near(seen, Counter())
            if entry.asks_later and entry.progress(seen, refuted) == entry.whole
            for root in entry.asks_later
        )

    def judge(self, fields: Mapping[str, Any]) -> Judged:
        """Find the prompts that apply to an event: the one with the highest priority first, then by slug."""
        seen = Seen(fields)
        elsewhere: Counter[str] = Counter()
        refuted = self._refuted(seen)
        applying: list[Entry] = []
        missing: list[tuple[int, Entry]] = []
        for entry in self._near(seen, elsewhere):
            held = entry.progress(seen, refuted)
            if held == entry.whole:
                applying.append(entry)
            else:
                missing.append((held, entry))
        applying.sort(key=attrgetter("order"))
        missing.sort(key=lambda one: one[1].order)
        return Judged(
            applying=[entry.live for entry in applying],
            missing=[(held, entry.live) for held, entry in missing],
            elsewhere={name: count for name, count in sorted(elsewhere.items()) if count},
            unfinished=self._unfinished,
        )

    def _refuted(self, seen: "Seen") -> "set[Entry]":
        """Return the prompts that an event has a value for which they rule out."""
        refuted: set[Entry] = set()
        for path, buckets in self._denied.items():
            refuted.update(buckets.get(seen.key(path), ()))
        return refuted

    def _near(self, seen: "Seen", elsewhere: Counter[str]) -> list["Entry"]:
        """Return each prompt that may apply, and count the others by the field that they are filed under."""
        found: list[Entry] = []
        for path, buckets in self._equal.items():
            found += self._shown(buckets.get(seen.key(path), ()))
        for path, texts in self._texts.items():
            found += self._shown(texts.matching(seen.value(path)))
        elsewhere.update(self._filed)
        elsewhere.subtract(self._under[entry] for entry in found if entry in self._under)
        return [*found, *self._shown(self._rest)]

    def _shown(self, entries: Iterable["Entry"]) -> Iterable["Entry"]:
        return [entry for entry in entries if entry not in self._hidden] if self._hidden else entries

    def _file(self, entries: Sequence["Entry"]) -> None:
        shared = Counter((path, key) for entry in entries for path, keys in entry.equal for key in keys)
        repeated = Counter((path, text) for entry in entries for path, texts in entry.texts for text in texts)
        for entry in entries:
            if not entry.whole:
                self._unfinished += 1
                continue
            for path, key in entry.denied:
                self._denied[path][key].append(entry)
            size, path, keys = min(
                ((sum(shared[path, key] for key in keys), path, keys) for path, keys in entry.equal),
                key=lambda one: (one[0], _telling(one[1]), repr(one[2])),
                default=(len(entries), "", ()),
            )
            if size > _CROWDED and entry.texts:
                path, texts = min(
                    entry.texts,
                    key=lambda one: (sum(repeated[one[0], text] for text in one[1]), -_shortest(one[1]), one),
                )
                self._under[entry] = path
                self._texts[path].add(entry, texts)
            elif path:
                self._under[entry] = path
                for key in keys:
                    self._equal[path][key].append(entry)
            else:
                self._rest.append(entry)
        for texts_of_field in self._texts.values():
            texts_of_field.compile()


def _telling(path: str) -> tuple[int, str]:
    return (_TELLING.index(path) if path in _TELLING else len(_TELLING), path)


def _shortest(texts: Sequence[Text]) -> int:
    return min(len(text) for text, _ in texts)
