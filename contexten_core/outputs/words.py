"""What a text must not hold that others read as an order or cannot see, wherever it is shown and however it is marked.

Programs that wait for an order in a comment look for it in the text as it was written, code or not, so no markup hides
it from them: its first character is replaced by the full-width one, which reads the same.
"""

import re

_LINE_BREAKS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ue000-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff]"
)
"""Controls, what has no width or shape, what turns the direction of text, tags, variation selectors and private use."""

_AGENTS = re.compile(
    r"@(?=(?:claude|codecov|coderabbitai|codegen|codex|contexten|copilot|cursor|dependabot|devin|ellipsis|gemini|"
    r"google-labs|greptile|homu|jules|k8s-ci|mergify|openhands|pr-agent|qodo|renovate|sourcery|sweep|bors))",
    re.IGNORECASE,
)
_COMMANDS = re.compile(
    r"(?<![\w/.\-])/(?=(?:approve|assign|autofix|cancel|cc|cherry-?pick|close|contexten|deploy|explain|hold|label|lgtm|"
    r"lock|merge|milestone|ok-to-test|override|queue|rebase|release|remove|reopen|rerun|retest|revert|run|skip|test|"
    r"transfer-issue|unassign|unlock)(?![\w/]))",
    re.IGNORECASE,
)
_LINE_COMMAND = re.compile(r"^(\s*)/(?=[A-Za-z][\w-]*(?:\s|$))")

_KEYWORD = re.compile(
    r"(?:^|[^A-Za-z0-9_-])(?:clos(?:e|es|ed|ing)|fix(?:es|ed|ing)?|resolv(?:e|es|ed|ing)|complet(?:e|es|ed|ing)|"
    r"implement(?:s|ed|ing)?)[\s:]*\Z",
    re.IGNORECASE,
)
"""What closes an issue at GitHub, or moves a ticket at Linear, when its number or address follows."""

_AROUND = " \t\n:*_~`\\[]()<>"
_LAST_LETTERS = frozenset("edsgxtEDSGXT")
_MARKUP = re.compile(r"[*_~`\\\[\]()<>]")
REACH = 40
"""How many characters before a reference a keyword is looked for in."""


def visible(text: str) -> str:
    """Return a text without what nobody sees: every kind of line break is a newline, every kind of space a space."""
    if text.isascii() and "\r" not in text and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    text = _SPACES.sub(" ", _LINE_BREAKS.sub("\n", text))
    return _INVISIBLE.sub("", _SURROGATES.sub("\ufffd", text))


def without_orders(line: str) -> str:
    """Return a line that orders no program to do something: no `/approve`, no `@dependabot`."""
    if "/" in line:
        line = _COMMANDS.sub("\uff0f", _LINE_COMMAND.sub("\\1\uff0f", line))
    return _AGENTS.sub("\uff20", line) if "@" in line else line


def closes(before: str) -> bool:
    """Tell whether a reference that follows this text would close something."""
    last = before.rstrip(_AROUND)[-1:]
    return last in _LAST_LETTERS and _KEYWORD.search(_MARKUP.sub("", before[-REACH:])) is not None
