"""Texts that must occur in one field for a prompt to apply, all looked for in one pass."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import re2

from contexten_core.prompts.conditions import encoded, pattern_options
from contexten_core.prompts.index.entry import Entry, Text

_PATTERNS_AT_ONCE = 2_000
_PATTERNS_MEMORY = 16 * 1024**2
_ALWAYS = b""


class Texts:
    """Prompts by the texts that must occur in one field; all texts are looked for together."""

    def __init__(self) -> None:
        self._entries: dict[Text, list[Entry]] = defaultdict(list)
        self._sets: list[tuple[Any, list[Text]]] = []
        self._odd: list[Text] = []

    def add(self, entry: Entry, texts: Iterable[Text]) -> None:
        for text in texts:
            self._entries[text].append(entry)

    def compile(self) -> None:
        texts = sorted(self._entries)
        for start in range(0, len(texts), _PATTERNS_AT_ONCE):
            self._compile(texts[start : start + _PATTERNS_AT_ONCE])

    def _compile(self, texts: list[Text]) -> None:
        try:
            self._sets.append((_set_of(texts), texts))
        except re2.error:
            if len(texts) == 1:
                self._odd += texts
                return
            middle = len(texts) // 2
            self._compile(texts[:middle])
            self._compile(texts[middle:])

    def matching(self, value: Any) -> list[Entry]:
        """Return the prompts of which a text occurs in the value, each once."""
        if isinstance(value, list):
            found = {(item, False) for item in value if isinstance(item, str)}
            return self._of(text for text in sorted(found) if text in self._entries)
        return self._of(self._occurring(value)) if isinstance(value, str) else []

    def _occurring(self, value: str) -> Iterator[Text]:
        data = encoded(value)
        yield from self._odd
        for patterns, texts in self._sets:
            places = patterns.Match(data) or ()
            # It says no more than nothing when it runs out of memory. Then each is judged by itself.
            yield from (texts[place - 1] for place in places if place) if 0 in places else texts

    def _of(self, texts: Iterable[Text]) -> list[Entry]:
        return list({id(entry): entry for text in texts for entry in self._entries[text]}.values())


def _set_of(texts: Iterable[Text]) -> Any:
    """Return all these as one pattern; its first place is one that always matches."""
    patterns = re2.Set.SearchSet(pattern_options(_PATTERNS_MEMORY))
    patterns.Add(_ALWAYS)
    for text, is_pattern in texts:
        patterns.Add(encoded(text) if is_pattern else re2.escape(encoded(text)))
    patterns.Compile()
    return patterns
