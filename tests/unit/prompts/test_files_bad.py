"""Files of prompts that cannot be taken: each problem with its place, soon, and in little memory."""

import subprocess
import sys

import pytest

from contexten_core.prompts.files import PromptFileError, read_prompt_file, read_prompts
from contexten_core.prompts.files.yaml import LARGEST_FILE, text_of

GOOD = "prompts:\n  - slug: a\n    name: A\n    template: x\n"


def _problems(text: str) -> list[tuple[int, int, str, str]]:
    with pytest.raises(PromptFileError) as caught:
        read_prompt_file(text, name="bad.yaml")
    error = caught.value
    assert (error.code, error.status) == ("prompt_file", 422)
    for problem in error.problems:
        assert f"bad.yaml:{problem.line}:{problem.column}: " in error.message
    return [(problem.line, problem.column, problem.path, problem.message) for problem in error.problems]


def _only(text: str) -> tuple[int, int, str]:
    ((line, column, _, message),) = _problems(text)
    return line, column, message


LAUGHS = "a: &a [x, x]\n" + "".join(f"{new}: &{new} [*{old}, *{old}]\n" for old, new in ("ab", "bc", "cd", "de"))


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        (LAUGHS, 1, 4, "anchors (&name) are not taken"),
        ("prompts: *all\n", 1, 10, "aliases (*name) are not taken"),
        ("prompts: !!python/object/apply:os.system [id]\n", 1, 10, "tags (!name) are not taken"),
        ("prompts: !!str x\n", 1, 10, "tags (!name) are not taken"),
        (GOOD + "---\n" + GOOD, 5, 1, "a second document begins here"),
        ("prompts:\n\t- slug: a\n", 2, 1, "there is a tab"),
        ("prompts:\n  - slug: a\n   \tname: x\n", 3, 4, "there is a tab"),
        ("prompts:\n  - slug: [a\n", 3, 1, "is no YAML"),
        ("prompts:\n  - slug: a\x00b\n", 2, 12, "the character U+0000 may not be in YAML"),
        ("prompts:\n  - slug: a\x1bb\n", 2, 12, "the character U+001B may not be in YAML"),
        ("prompts: \ud800\n", 1, 10, "the character U+D800 may not be in YAML"),
        ("x" * (LARGEST_FILE + 1), 1, 1, f"the file has {LARGEST_FILE + 1} bytes"),
        ("prompts: " + "[" * 100_000, 1, 69, "is nested more than 60 levels deep"),
        ("a: " + "{b: " * 50_000, 1, 240, "is nested more than 60 levels deep"),
        ("prompts: [" + "a," * 100_000, 1, 40_005, "there are more than 20000 values"),
        ("? [a]\n: b\n", 1, 3, "a key has to be text"),
        ("", 1, 1, "must be a mapping, not nothing"),
        ("- slug: a\n", 1, 1, "must be a mapping, not a list"),
        ("prompts: {}\n", 1, 10, "must be a list, not a mapping"),
        ("{}\n", 1, 1, "`prompts` is missing"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else None,
)
def test_what_is_no_file_of_prompts(text: str, line: int, column: int, message: str) -> None:
    assert _only(text)[:2] == (line, column)
    assert message in _only(text)[2]


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("priority: 1.10", 15, "must be a whole number, not the number 1.1"),
        ("version: 1.10", 14, "must be a whole number, not the number 1.1"),
        ('version: "3"', 14, "must be a whole number, not the text '3'"),
        ("description: yes", 18, "yes is read in two ways: put it in quotes to have it as text; write true or false"),
        ("on: push", 5, "on is read in two ways"),
        ("category: true", 15, "must be text, not true; put it in quotes"),
        ("category: 1.10", 15, "must be text, not the number 1.1; put it in quotes"),
        ("category: 2024-01-01", 15, "2024-01-01 is read in two ways"),
        ("category: 010", 15, "010 is read in two ways"),
        ("category: 12:30:45", 15, "12:30:45 is read in two ways"),
        ("priority: 1_000", 15, "1_000 is read in two ways"),
        ("priority: 99999999999999999999", 15, "a number that cannot be kept"),
        ("limits: {wall_seconds: .inf}", 28, "a number that cannot be kept"),
        ("<<: {name: B}", 5, "merge keys (<<) are not taken"),
        ("1: x", 5, "a key has to be text, not the number 1"),
        ("null: x", 5, "a key has to be text, not nothing"),
        ("name: B", 5, "the key 'name' is there twice; the first is in line 3"),
        ("typ: testing", 5, "'typ' is no key here; did you mean type?"),
        ("type: testin", 11, "did you mean testing?"),
        ("tags: x", 11, "must be a list, not the text 'x'"),
        ("tags: [1]", 12, "must be text, not the number 1"),
        ('category: "a\\0b"', 15, "holds the character U+0000"),
        ("when: push", 11, "must be a mapping of fields, not the text 'push'"),
        ("when: {event.typ: push}", 12, "there is no field event.typ; did you mean event.type?"),
        ("when: {evnt.type: push}", 12, "there is no field evnt.type; did you mean event.type?"),
        ("when: {event type: push}", 12, "'event type' is no path of a field"),
        ("when: {event.type: {equal: push}}", 25, "'equal' is no operator; did you mean equals?"),
        ("when: {event.type: {}}", 24, "needs an operator: equals"),
        ("when: {event.type: }", 12, "nothing is written here; write null to compare with nothing"),
        ("when: {event.title: {matches: (}}", 35, "is no regular expression of RE2"),
        ('when: {event.title: {matches: "(a)\\\\1"}}', 35, "is no regular expression of RE2: invalid escape sequence"),
        ("when: {event.title: {matches: 5}}", 35, "regex_match needs a regular expression"),
        ("when: {event.number: {less_than: x}}", 38, "less_than needs a number"),
        ("when: {event.type: {in: push}}", 29, "in needs a list"),
        ("when: {any: {event.type: push}}", 17, "must be a list of conditions"),
        ("when: {any: [{event.type: a, event.tag: b}]}", 18, "each item of `any` is one condition"),
        ("when: {groups: [a]}", 20, "must be a mapping of names of groups"),
        ("when: [{event.type: push}]", 12, "must be a condition such as `{field: event.type, equals: push}`"),
        ("when: [{field: event.type, equals: a, join: XOR}]", 49, "must be AND or OR"),
        ("do: {}", 9, "must be exactly one of command, llm, agent, http"),
        ("do: make test", 9, "must be exactly one of command, llm, agent, http, reply, not the text 'make test'"),
        ("do: {reply: Hello}", 17, "must be a mapping, not the text 'Hello'"),
        ("do: {Acme: {}}", 10, "'Acme' is no executor"),
        ("do: {acme: {command: 5}}", 26, "must be text, not the number 5"),
        ("do: {comand: x}", 10, "'comand' is no executor; did you mean command?"),
        ("do: {command: 'make \"'}", 19, "cannot be read as a command"),
        ("do: {command: {command: x, shell: true}}", 32, "'shell' is no key here"),
        ("do: {command: {model: x}}", 19, "the command executor takes no model"),
        ("limits: {wall_second: 5}", 14, "'wall_second' is no key here; did you mean wall_seconds?"),
        ('limits: {wall_seconds: "5"}', 28, "must be a number, not the text '5'"),
        ("outputs: {coment: {}}", 15, "did you mean comment?"),
        ("outputs: {comment: {most: true}}", 31, "must be a whole number, not true"),
        ("variables: {a-b: {}}", 17, "the text 'a-b' is not of the form"),
        ("variables: {a: {type: integer, default: x}}", 45, "is no integer"),
        ("variables: {a: string}", 20, "must be a mapping, not the text 'string'"),
        ("templates: [{name: a, template: x}, {name: a, template: y}]", 48, "another template of this prompt has"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_wrong_in_a_prompt(line: str, column: int, message: str) -> None:
    found_line, found_column, found = _only(f"{GOOD}    {line}\n")

    assert message in found
    assert (found_line, found_column) == (5, column)


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
prompts:
  - slug: Checks
    name: yes
    do: {comand: x}
  - slug: b
    nam: B
    template: x
    when: {event.typ: a, event.title: {match: b}}
"""
    assert [(line, path) for line, _, path, _ in _problems(text)] == [
        (2, "prompts[0]"),
        (2, "prompts[0].slug"),
        (3, "prompts[0].name"),
        (4, "prompts[0].do.comand"),
        (5, "prompts[1]"),
        (6, "prompts[1].nam"),
        (8, "prompts[1].when.event.typ"),
        (8, "prompts[1].when.event.title.match"),
    ]


def test_of_very_many_problems_the_first_are_told() -> None:
    text = "prompts:\n" + "".join(f"  - {{slug: s{number}, name: 1, template: x}}\n" for number in range(50))

    assert [line for line, *_ in _problems(text)] == list(range(2, 22))
    with pytest.raises(PromptFileError, match="and 30 more"):
        read_prompt_file(text, name="x")


def test_two_prompts_of_one_file_cannot_share_a_slug() -> None:
    text = GOOD + "  - slug: a\n    name: B\n    template: x\n"

    assert _only(text) == (5, 11, "another prompt of this file, in line 2, has the same slug")


def test_bytes_that_are_no_text_are_refused_with_their_place() -> None:
    with pytest.raises(PromptFileError) as caught:
        text_of("prompts:\n  - é".encode() + b"\xff\n", name="bad.yaml")

    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.message) == (2, 6, "the byte 0xff is not UTF-8")
    with pytest.raises(PromptFileError, match="the file has 1000000 bytes"):
        text_of(b"x" * 1_000_000, name="bad.yaml")


_BOMBS = """
import resource
from time import process_time
from contexten_core.prompts.files import PromptFileError, read_prompt_file, read_prompts
size, good = 262_000, "prompts:\\n  - slug: a\\n    name: A\\n    template: x\\n"
bombs = {
    "flow": "[" * size,
    "mappings": "{a: " * (size // 4),
    "dashes": "- " * (size // 2),
    "indented": "\\n".join(" " * depth + "a:" for depth in range(700)),
    "keys": good + "".join(f"    k{number}: 1\\n" for number in range(15_000)),
    "same key": good + "    k: 1\\n" * 19_000,
    "scalar": good + "    description: [" + "x" * size,
    "quoted": good + '    description: "' + "\\\\u0041" * (size // 7),
    "folded": good + "    descriptio: >\\n" + "      x\\n" * (size // 9),
    "pattern": good + '    when: {event.title: {matches: "' + "(" * 100_000 + '"}}',
    "digits": good + "    priority: " + "9" * 250_000,
    "conditions": good + "    when:\\n" + "".join(f"      event.x{number}: a\\n" for number in range(9_000)),
    "prompts": "prompts: [" + "{slug: a}, " * 9_000 + "]",
    "anchors": "".join(f"k{number}: &a{number} [*a{number}]\\n" for number in range(9_000)),
    "comments": "#\\n" * (size // 2),
    "question marks": "? " * (size // 2),
    "colons": "a:" * (size // 2),
}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name, text in bombs.items():
    begun = process_time()
    try:
        read_prompt_file(text[:size], name=name)
    except PromptFileError as error:
        first = error.problems[0]
        print(f"{name}: {process_time() - begun:.3f} s, {first.line}:{first.column} {first.message[:60]}")
    else:
        raise SystemExit(f"{name} was taken")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, "MB")
"""


def test_bombs_are_refused_in_little_memory() -> None:
    ran = subprocess.run([sys.executable, "-c", _BOMBS], capture_output=True, text=True, check=True)

    assert int(ran.stdout.split()[-2]) < 100


def test_problems_of_templates_are_told_where_they_are_in_the_file() -> None:
    text = """\
prompts:
  - slug: a
    name: A
    system_prompt: "Look at {{ titel }}"
    template: |
      Look at
        {{ titel }}.
      {% if %}
    variables: {title: {source: event.titel}}
    templates: [{name: go, template: "{{ other }}"}]
"""
    assert read_prompt_file(text, name="x")
    with pytest.raises(PromptFileError) as caught:
        read_prompts(text, name="x", texts=True)

    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (4, "prompts[0].system_prompt"),
        (8, "prompts[0].template"),
        (9, "prompts[0].variables.title"),
        (10, "prompts[0].templates[0].template"),
    ]
