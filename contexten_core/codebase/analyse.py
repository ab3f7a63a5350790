"""One file's bytes to its facts."""

import codecs

from contexten_core.codebase.comments import comments
from contexten_core.codebase.count import count_lines
from contexten_core.codebase.facts import FileFacts, Note
from contexten_core.codebase.languages import language_of
from contexten_core.codebase.parse import parse
from contexten_core.codebase.python_reader import read_python
from contexten_core.codebase.reader import Parsed
from contexten_core.codebase.roles import says_generated
from contexten_core.codebase.todos import todos_in, within

MOST_PARSED_BYTES = 1024 * 1024
MOST_PARSING_SECONDS = 2.0
MOST_DEFINITIONS = 10_000

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def analyse_file(
    *,
    path: str,
    data: bytes,
    most_parsed_bytes: int = MOST_PARSED_BYTES,
    most_parsing_seconds: float = MOST_PARSING_SECONDS,
    most_definitions: int = MOST_DEFINITIONS,
    is_brief: bool = False,
) -> FileFacts:
    """Tell what a file holds. Whatever the bytes are, there is an answer, and its note says what it leaves out.

    Reads and writes nothing. While it parses, other threads get the interpreter now and then and may wait tenths of a
    second, and memory is taken: some 250 bytes for each byte of crowded code, 700 at worst, given back afterwards.

    Args:
        path: the file's place in its repository, with "/" between folders.
        data: its content: UTF-8, UTF-16 with its mark, or any encoding that contains ASCII.
        most_parsed_bytes: size above which lines are counted and nothing is parsed.
        most_parsing_seconds: processor time after which parsing is given up.
        most_definitions: functions to keep, and as many classes.
        is_brief: leave out docstrings, signatures, parameters, decorators, bases, cognitive complexity and nesting,
            which take a fifth of the time.
    """
    text = _text(data)
    if b"\0" in text:
        return FileFacts(path=path, language=None, note=Note.BINARY.value)
    language = language_of(path, text)
    parsed = Parsed()
    if language.grammar is not None:
        if len(text) > most_parsed_bytes:
            parsed = Parsed(notes=(Note.TOO_LARGE,))
        elif language.grammar == "python":
            parsed = read_python(
                text=text, seconds=most_parsing_seconds, most_definitions=most_definitions, is_brief=is_brief
            )
        else:
            parsed = parse(
                text=text,
                grammar=language.grammar,
                seconds=most_parsing_seconds,
                most_definitions=most_definitions,
                is_brief=is_brief,
            )
    counts, todos = parsed.lines, parsed.todos
    if counts is None or todos is None:
        spans = tuple(comments(text=text, syntax=language.syntax)) if parsed.comments is None else parsed.comments
        counts = count_lines(text=text, comments=spans)
        todos = todos_in(text=text, is_comment=within(spans))
    return FileFacts(
        path=path,
        language=language.name,
        lines=counts.lines,
        code_lines=counts.code,
        comment_lines=counts.comment,
        blank_lines=counts.blank,
        functions=parsed.functions,
        classes=parsed.classes,
        imports=parsed.imports,
        calls=parsed.calls,
        todos=todos,
        package=parsed.package,
        is_generated=says_generated(text),
        note="; ".join(parsed.notes) or None,
    )


def _text(data: bytes) -> bytes:
    r"""Return the text in an encoding that contains ASCII, its lines ended by \n, without the mark of its encoding."""
    if data.startswith(_UTF16_MARKS):
        data = data.decode("utf-16", errors="replace").encode("utf-8", errors="replace")
    text = data.removeprefix(codecs.BOM_UTF8)
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
