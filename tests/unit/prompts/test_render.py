"""Templates are rendered in a child, and whatever they try, they end with a text or an error that says where."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.errors import UnavailableError
from contexten_core.prompts.templates.check import literal
from contexten_core.prompts.templates.render import Renderer, RenderLimits, TemplateError, TemplateSource

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST_BYTES = 100_000_000
VALUES = {"x": "hello {{ 7 * 7 }}", "n": 3, "xs": ["b", "a"], "o": {"k": "v", "items": 1}, "gone": None}


TOKENS = (
    "{# #} {{ }} {% %} {{- -}} x n xs o a loop loop.index range(9) ( ) [ ] { } | . , : ~ + - * / // % ** == < in is "
    "not and or if else upper join('a') sort first tojson [0] ['k'] .k [1:] 'a' 1 2.5 none .__class__ () \\"
)
TAGS = ["{{ x }}", "{{ o }}", "{% set a = x %}", "{% if n %}", "{% elif x %}", "{% else %}", "{% endif %}", "{% raw %}"]
TAGS += ["{% for a in xs %}", "{% for a, b in o|items %}", "{% endfor %}", "{% include 'a' %}", "{% endraw %}"]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def renderer() -> AsyncIterator[Renderer]:
    """One child for all tests but those that are about its start and end."""
    async with Renderer() as renderer:
        yield renderer


async def render(renderer: Renderer, text: str, includes: dict[str, str] | None = None, **values: Any) -> str:
    return await renderer.render(TemplateSource("t", text, includes or {}), VALUES | values)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("{{ x }}", "hello {{ 7 * 7 }}"),
        ("{{ n + 1 }} {{ n / 2 }} {{ 2 ** 10 }} {{ -n }}", "4 1.5 1024 -3"),
        ("{{ xs | sort | join(', ') }}", "a, b"),
        ("{{ o.k }} {{ o['k'] }} {{ o.items }} {{ xs[1] }} {{ x[:5] }}", "v v 1 a hello"),
        ("{% for a in xs %}{{ loop.index }}{{ a }}{% if not loop.last %},{% endif %}{% endfor %}", "1b,2a"),
        ("{% for k, v in o | items %}{{ k }}={{ v }};{% endfor %}", "k=v;items=1;"),
        ("{% for a in range(3) %}{{ a }}{% else %}none{% endfor %}", "012"),
        ("a\n  {% if n > 2 %}\nb\n  {% endif %}\nc\n", "a\nb\nc\n"),
        ("{% set greeting = 'Hi ' ~ x[:5] %}{{ greeting | upper }}", "HI HELLO"),
        ("[{{ gone }}]{{ gone | default('none') }}{% for a in gone %}{{ a }}{% endfor %}{{ gone | upper }}", "[]none"),
        ("{{ 'yes' if n is odd else 'no' }}{{ 'never' if false }}", "yes"),
        ("{{ 'a\nb' | quote }}", "> a\n> b"),
        ("{{ 'a\n```\nb' | fence('text') }}", "````text\na\n```\nb\n````"),
        ("{{ x | truncate(8) }}|{{ 'one two three' | truncate(10) }}", "hello...|one two..."),
        ("{{ o | tojson }} {{ xs | length }} {{ '-' * 5 }}", '{"k": "v", "items": 1} 2 -----'),
        ("{# a comment #}{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("{{ '{{' }} {{ [1, 'a'] }}", "{{ [1, 'a']"),
    ],
)
async def test_what_templates_can_do(renderer: Renderer, text: str, becomes: str) -> None:
    assert await render(renderer, text) == becomes


async def test_a_text_without_tags_is_returned_as_it_is_without_a_child() -> None:
    async with Renderer() as renderer:
        text = "Run { make test } \r\n100% }}"
        assert await render(renderer, text) == text
        assert renderer.process_id is None


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.text(alphabet="{}%#'\"\\ xab|-\n"),
        st.integers(),
        st.floats(allow_nan=False),
        st.booleans(),
        st.lists(st.text(max_size=5), max_size=5),
        st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    )
)
async def test_a_value_comes_out_as_it_is(renderer: Renderer, value: Any) -> None:
    assert await render(renderer, "{{ x }}", x=value) == str(value)
    assert await render(renderer, "<{{ x }}{{ x }}>", x=value) == f"<{value}{value}>"


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet="{}%#-+'x \n"))
async def test_a_text_can_be_made_a_template_of_itself(renderer: Renderer, text: str) -> None:
    assert await render(renderer, literal(text)) == text


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([*TAGS, *TOKENS.split()]), max_size=12).map(" ".join))
async def test_whatever_is_put_together_ends_with_a_text_or_an_error_that_says_where(
    renderer: Renderer, text: str
) -> None:
    rendering = render(renderer, text)
    (result,) = await asyncio.gather(rendering, return_exceptions=True)
    if not isinstance(result, str):
        assert isinstance(result, TemplateError)
        assert result.line is not None
        assert "is not for templates" not in result.problem


async def test_a_value_with_half_of_a_surrogate_pair_stays_as_it_is(renderer: Renderer) -> None:
    assert await render(renderer, "{{ x }}", x="\ud83d|\ude00") == "\ud83d|\ude00"


async def test_includes_see_the_same_values(renderer: Renderer) -> None:
    text = "{% include 'style@production' %}!"
    assert await render(renderer, text, {"style@production": "{{ x | upper }}"}, x="hi") == "HI!"


# What each of them says, and in which line.
HOSTILE = [
    # Texts and numbers that become large.
    ("{{ 'x' * 10**9 }}", 1, "longer than"),
    ("{{ 10**9 * 'x' }}", 1, "needs a number"),
    ("{{ ('x' * 150000) ~ ('y' * 150000) }}", 1, "longer than"),
    ("{{ 'x' * 150000 + 'y' * 150000 }}", 1, "longer than"),
    ("{% set a = 'x' * 1000 %}" + "{% set a = a ~ a %}" * 40, 1, "longer than"),
    ("\n\n{{ 9**9**9 }}", 3, "64 bits"),
    ("{{ 2**63 * 2**63 }}", 1, "64 bits"),
    ("{{ 10.0**400 }}", 1, "number too large"),
    ("{{ 1e999 }}", 1, "too large"),
    (f"{{{{ {'9' * 5000} }}}}", 1, "too many digits"),
    ("{{ 0xffffffffffffffffffff }}", 1, "64 bits"),
    ("{{ '%1000000000d' % 1 }}", 1, "needs a number"),
    ("{{ '%s' | format('a') }}", 1, "no filter format"),
    ("{{ xs * 10**9 }}", 1, "needs a number"),
    ("{{ x | indent(10**9) }}", 1, "longer than"),
    ("{{ x | center(1000000000) }}", 1, "no filter center"),
    ("{{ x | wordwrap(1) }}", 1, "no filter wordwrap"),
    ("{{ 'a' * 200000 | replace('a', 'b' * 200000) }}", 1, "needs"),
    ("{{ ('a' * 100000) | replace('a', 'b' * 100000) }}", 1, "longer than"),
    ("{{ x | replace('', 'y' * 200000) }}", 1, "needs a text to replace"),
    ("{{ range(10000) | join('y' * 1000) }}", 1, "longer than"),
    ("{{ ('a\\n' * 90000) | indent(1000) }}", 1, "longer than"),
    ("{{ 1 | round(1000000000) }}", 1, "digits"),
    ("\n" + "".join(f"{{%set a{number}='y'*190000%}}" for number in range(900)), 2, "memory"),
    # Loops.
    ("{% for a in range(10**9) %}{% endfor %}", 1, "more than 10,000"),
    ("{% for a in range(10**30) %}{% endfor %}", 1, "64 bits"),
    ("{{ range(0, -1000000, -1) | length }}", 1, "more than 10,000"),
    ("{% for a in range(1000) %}\n{% for b in range(1000) %}{% endfor %}\n{% endfor %}", 2, "100,000 times"),
    ("{% for a in range(400) %}{% for b in range(200) %}{{ 'z' * 9 }}{% endfor %}{% endfor %}", 1, "200,000"),
    ("{% for a in range(9) %}\n{{ 'z' * 150000 }}{% endfor %}", 2, "longer than 200,000"),
    ("{% for a in x %}{% endfor %}", 1, "needs a list"),
    ("{% for a in xs recursive %}{{ loop(xs) }}{% endfor %}", 1, "recursive"),
    (
        "{% for a in range(300) %}{% for b in range(300) %}" + "{% set q = a ~ b %}" * 600 + "{% endfor %}{% endfor %}",
        1,
        "0.4 s",
    ),
    # Values that hold themselves many times over.
    ("{% set a = [1, 2] %}" + "{% set a = [a, a] %}" * 40 + "{{ a == a }}", 1, "an item of a list"),
    ("{% set a = {'k': [1]} %}" + "{% set a = {'k': a, 'l': a} %}" * 40, 1, "an item of a list"),
    ("{{ xs + xs }}", 1, "needs a number"),
    # Ways to what is no value.
    ("{{ x.__class__ }}", 1, "has an attribute __class__"),
    ("{{ ''.__class__.__mro__[1].__subclasses__() }}", 1, "is not taken"),
    ("{{ x['__class__'] }}", 1, "has an attribute __class__"),
    ("{{ x['__cla' ~ 'ss__'] }}", 1, "no part '__class__'"),
    ("{{ xs.append(1) }}", 1, "a call is not taken"),
    ("{{ xs.append }}", 1, "no part 'append'"),
    ("{{ o.update }}", 1, "no part 'update'"),
    ("{{ '{0.__class__}'.format(x) }}", 1, "a call is not taken"),
    ("{{ '{0.__class__}'.format }}", 1, "no part 'format'"),
    ("{{ x | attr('__class__') }}", 1, "no filter attr"),
    ("{{ xs | map('upper') | list }}", 1, "no filter list"),
    ("{{ [o] | map('__class__') }}", 1, "an item of a list"),
    ("{{ xs | map(attribute='__class__') }}", 1, "needs a list of objects"),
    ("{{ xs | selectattr('__class__') }}", 1, "no filter selectattr"),
    ("{{ range.__init__ }}", 1, "has an attribute __init__"),
    ("{{ loop }}", 1, "inside of a loop"),
    ("{% for a in xs %}{{ loop.__init__ }}{% endfor %}", 1, "has an attribute __init__"),
    ("{% for a in xs %}{{ loop.cycle('a') }}{% endfor %}", 1, "a call is not taken"),
    ("{% for a in xs %}{{ loop['_iterable'] }}{% endfor %}", 1, "has an attribute _iterable"),
    ("{% for a in xs %}{% set l = loop %}{% endfor %}", 1, "inside of a loop"),
    ("{{ self }}", 1, "no self"),
    ("{{ self._TemplateReference__context }}", 1, "has an attribute _TemplateReference"),
    ("{{ cycler('a').next() }}", 1, "a call is not taken"),
    ("{{ joiner }}{{ namespace }}{{ lipsum }}{{ dict }}", 1, "no variable joiner"),
    ("{{ lipsum.__globals__.os.popen('id').read() }}", 1, "a call is not taken"),
    ("{{ config }}{{ request }}{{ environment }}", 1, "no variable config"),
    ("{{ get_flashed_messages.__globals__ }}", 1, "has an attribute __globals__"),
    ("{{ caller }}{{ varargs }}{{ kwargs }}{{ super() }}", 1, "no caller"),
    ("{{ x | e }}", 1, "no filter e"),
    ("{{ x | xmlattr }}", 1, "no filter xmlattr"),
    ("{{ x | pprint }}", 1, "no filter pprint"),
    ("{{ x | upper(*xs) }}", 1, "one by one"),
    ("{{ x | _each }}", 1, "no filter _each"),
    ("{{ x is filter }}", 1, "no test filter"),
    ("{{ x is callable }}", 1, "no test callable"),
    # Parts of Jinja's language that are not taken.
    ("\n{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", 2, "{% macro %}"),
    ("{% call x() %}{% endcall %}", 1, "{% call %}"),
    ("{% import 'os' as os %}", 1, "{% import %}"),
    ("{% from 'a' import b %}", 1, "{% from %}"),
    ("{% extends 'a' %}", 1, "{% extends %}"),
    ("{% block a %}{% endblock %}", 1, "{% block %}"),
    ("{% filter upper %}a{% endfilter %}", 1, "{% filter %}"),
    ("{% set a %}{{ x }}{% endset %}", 1, "as a block"),
    ("{% set ns.a = 1 %}", 1, "attribute in {% set %}"),
    ("{% set event = 1 %}", 1, "no name that can be set"),
    ("{% for range in xs %}{% endfor %}", 1, "no name that can be set"),
    ("{% with a = 1 %}{% endwith %}", 1, "{% with %}"),
    ("{% autoescape true %}{% endautoescape %}", 1, "{% autoescape %}"),
    ("{% do xs.append(1) %}", 1, "unknown tag"),
    ("{% debug %}", 1, "unknown tag"),
    ("{% include x %}", 1, "names one prompt"),
    ("{% include ['a', 'b'] %}", 1, "names one prompt"),
    ("{% include 'a' ignore missing %}", 1, "nothing but the reference"),
    ("{% include '/etc/passwd' %}", 1, "no prompt /etc/passwd"),
    # Depth, length, and what is no text.
    ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", 1, "nested too deep"),
    ("{{ " + "[" * 5000 + "]" * 5000 + " }}", 1, "nested too deep"),
    ("{{ " + "not " * 20000 + "x }}", 1, "too deep"),
    ("{{ " + "-" * 9000 + "1 }}", 1, "too deep"),
    ("{{ x" + "|upper" * 4000 + " }}", 1, "levels deep"),
    ("{{ x" + ".a" * 4000 + " }}", 1, "levels deep"),
    ("{{ 1" + "+1" * 4000 + " }}", 1, "levels deep"),
    ("{{ 1" + " if 1 else 2" * 1500 + " }}", 1, "deep"),
    ("{% if n %}" * 2000 + "{% endif %}" * 2000, 1, "nested too deep"),
    ("{% for a in xs %}" * 50 + "{% endfor %}" * 50, 1, "nested too deep"),
    ("{{ x }}" * 20000, 1, "more than 10,000 parts"),
    ("{{ x }}" + "a" * 300_000, 1, "200,000"),
    ("{{ '\x00' }}", 1, "a character that is none"),
    ("a\nb {{ x }}\ud800", 2, "a character that is none"),
    ("{{ '\\ud800' }}", 1, "a character that is none"),
    ("{{ '\\d' }}", 1, "no escape"),
    ("{{ \uff58 }}", 1, "no name"),
    # Simple mistakes.
    ("a\n\n{{ titel }}", 3, "no variable titel"),
    ("{{ o.missing }}", 1, "no part 'missing'"),
    ("{{ xs[5] }}", 1, "no part 5"),
    ("{{ 1 / 0 }}", 1, "division by zero"),
    ("{{ x + 1 }}", 1, "needs a text, and has an integer"),
    ("{{ n | upper }}", 1, "needs a text, and has an integer"),
    ("{{ n < x }}", 1, "not supported"),
    ("{{ x | truncate('a') }}", 1, "needs an integer"),
    ("{{ x | join(1, 2, 3) }}", 1, "positional arguments"),
    ("{{ 'ab' | int }}", 1, "invalid literal"),
    ("{% if x %}", 1, "unexpected end of template"),
    ("{{ x", 1, "unexpected"),
    ("a\n{{ x y }}", 2, "expected"),
    ("{% endfor %}", 1, "unknown tag"),
    ("{{ 'abc }}", 1, "unexpected char"),
    ("{# never ends", 1, "comment"),
]


@pytest.mark.parametrize(("text", "line", "said"), HOSTILE, ids=[text[:50] for text, _, _ in HOSTILE])
async def test_what_templates_cannot_do_is_said_with_the_line(
    renderer: Renderer, text: str, line: int, said: str
) -> None:
    source = TemplateSource("hostile", text)
    # The limit of the clock is the test's bound too: without an answer in it the error would have no line.
    limits = RenderLimits(seconds=0.4) if said == "0.4 s" else RenderLimits(seconds=5)
    with pytest.raises(TemplateError) as caught:
        await renderer.render(source, VALUES, limits=limits)

    assert said in caught.value.problem
    assert (caught.value.template, caught.value.line) == ("hostile", line)
    assert caught.value.message.startswith(f"hostile, line {line}")
    assert not caught.value.transient
    assert renderer.peak_bytes < MOST_BYTES


async def test_the_column_is_said_where_it_is_known(renderer: Renderer) -> None:
    with pytest.raises(TemplateError) as caught:
        await render(renderer, "a\nReview {{ x }} and {{ titel }}")
    assert caught.value.message == "t, line 2, column 23: there is no variable titel"


@pytest.mark.parametrize(
    ("includes", "template", "said"),
    [
        ({"a": "{% include 't' %}"}, "a", "in a circle: t > a > t"),
        ({"a": "{% include 'a' %}"}, "a", "in a circle: t > a > a"),
        ({"a": "{% include 'b' %}"}, "a", "no prompt b"),
        ({"a": "1\n{{ x.foo }}"}, "a", "no part 'foo'"),
        ({"a": "{{ x | attr('a') }}"}, "a", "no filter attr"),
        (
            {name: f"{{% include '{after}' %}}" * 2 for name, after in zip("abcdefghijk", "bcdefghijkl", strict=True)},
            "j",
            "deep",
        ),
    ],
    ids=["circle", "itself", "missing", "while rendering", "not taken", "deep"],
)
async def test_what_is_wrong_with_an_included_template_is_said_of_that(
    renderer: Renderer, includes: dict[str, str], template: str, said: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        await render(renderer, "{% include 'a' %}", includes)
    assert said in caught.value.problem
    assert caught.value.template == template


async def test_includes_that_multiply_end_at_the_limits(renderer: Renderer) -> None:
    includes = {name: f"{{% include '{after}' %}}" * 10 for name, after in zip("abcdefgh", "bcdefghi", strict=True)}
    with pytest.raises(TemplateError, match="longer than"):
        await render(renderer, "{% include 'a' %}", {**includes, "i": "spam " * 100})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"x": object()}, "none of JSON"),
        ({"x": float}, "none of JSON"),
        ({"x": "a" * 1_000_001}, "at most 1,000,000"),
        ({"self": 1}, "no variable can be called self"),
        ({"_each": 1}, "no variable can be called _each"),
    ],
)
async def test_values_that_templates_have_no_kind_for_are_refused(
    renderer: Renderer, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(TemplateError, match=said):
        await render(renderer, "{{ x }}", **values)


async def test_values_nested_without_end_are_refused(renderer: Renderer) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(TemplateError, match="JSON"):
        await render(renderer, "{{ x }}", x=value)


async def test_values_of_very_many_parts_fit(renderer: Renderer) -> None:
    assert await render(renderer, "{{ x | length }}", x=[[] for _ in range(240_000)]) == "240000"
    assert renderer.peak_bytes < MOST_BYTES


async def test_the_limit_of_characters_is_the_callers() -> None:
    async with Renderer() as renderer:
        limits = RenderLimits(characters=10)
        assert await renderer.render(TemplateSource("t", "{{ x }}"), {"x": "a" * 10}, limits=limits) == "a" * 10
        for text in ("{{ x }}!", "plain text of more"):
            with pytest.raises(TemplateError, match="10 characters"):
                await renderer.render(TemplateSource("t", text), {"x": "a" * 10}, limits=limits)


async def test_renderings_wait_for_each_other_and_each_gets_its_own_text(renderer: Renderer) -> None:
    texts = await asyncio.gather(*(render(renderer, "{{ n }}", n=number) for number in range(20)))
    assert texts == [str(number) for number in range(20)]


async def test_one_that_is_given_up_does_not_answer_for_the_next() -> None:
    slow = "{% for a in range(300) %}{% for b in range(300) %}{{ a * b }}{% endfor %}{% endfor %}"
    async with Renderer() as renderer:
        await render(renderer, "{{ n }}")
        for _ in range(3):
            rendering = asyncio.create_task(render(renderer, slow))
            await asyncio.sleep(0)
            rendering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await rendering
        assert await render(renderer, "{{ n }}") == "3"


async def test_a_child_that_was_killed_is_replaced() -> None:
    async with Renderer() as renderer:
        await render(renderer, "{{ n }}")
        killed = renderer.process_id
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        psutil.Process(killed).wait(5)
        assert await render(renderer, "{{ n }}") == "3"
        assert renderer.process_id != killed


async def test_one_that_dies_or_stops_while_it_renders_is_an_error() -> None:
    async with Renderer() as renderer:
        await render(renderer, "{{ n }}")
        pid = renderer.process_id
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(UnavailableError) as caught:
            await renderer.render(TemplateSource("t", "{{ n }}"), VALUES, limits=RenderLimits(seconds=0.01))
        assert caught.value.transient
        assert not psutil.pid_exists(pid)

        await render(renderer, "{{ n }}")
        rendering = asyncio.create_task(render(renderer, "{{ n }}"))
        pid = renderer.process_id
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(TemplateError, match="ended unexpectedly"):
            await rendering


async def test_leaving_the_block_leaves_no_process() -> None:
    async with Renderer() as renderer:
        await render(renderer, "{{ n }}")
        child = psutil.Process(renderer.process_id)
    assert not child.is_running()
    assert renderer.process_id is None


async def test_a_child_ends_with_the_process_that_started_it() -> None:
    program = """
import asyncio, os, signal
from contexten_core.errors import UnavailableError
from contexten_core.prompts.templates.render import Renderer, TemplateSource
async def main():
    renderer = Renderer()
    await renderer.render(TemplateSource("t", "{{ 1 }}"), {})
    print(renderer.process_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=60, check=False
    )
    child = int(ended.stdout)
    for _ in range(500):
        if not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the child is still there")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what a process has")
async def test_a_child_has_no_files_no_environment_and_little_memory(renderer: Renderer) -> None:
    await render(renderer, "{{ n }}")
    child = psutil.Process(renderer.process_id)
    assert child.environ() == {}
    assert child.cwd() == "/"
    assert os.getsid(child.pid) == child.pid
    limits = {kind: child.rlimit(kind) for kind in (psutil.RLIMIT_NOFILE, psutil.RLIMIT_FSIZE, psutil.RLIMIT_NPROC)}
    assert limits == {psutil.RLIMIT_NOFILE: (4, 4), psutil.RLIMIT_FSIZE: (0, 0), psutil.RLIMIT_NPROC: (0, 0)}
    assert child.rlimit(psutil.RLIMIT_AS)[1] < MOST_BYTES + 20_000_000
    # The socket, two times nothing, and its own figures.
    assert child.num_fds() == 4
    loaded = {Path(region.path).name for region in child.memory_maps()}
    assert not [name for name in loaded if "sqlite" in name or "psycopg" in name or "ssl" in name.split(".")[0]]


async def test_a_child_imports_nothing_of_ours_but_what_renders() -> None:
    program = (
        "import sys, json; import contexten_core.prompts.templates.child;"
        "print(json.dumps([name for name in sys.modules if name.startswith(('contexten', 'sqlalchemy', 'pydantic'))]))"
    )
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert sorted(json.loads(done.stdout)) == [
        "contexten_core",
        "contexten_core.prompts",
        "contexten_core.prompts.templates",
        "contexten_core.prompts.templates.child",
        "contexten_core.prompts.templates.filters",
        "contexten_core.prompts.templates.language",
    ]


async def test_it_works_beside_thousands_of_descriptors() -> None:
    soft, hard = psutil.Process().rlimit(psutil.RLIMIT_NOFILE)
    if hard < 3_000:
        pytest.skip("this account may not have so many")
    psutil.Process().rlimit(psutil.RLIMIT_NOFILE, (max(soft, 3_000), hard))
    pairs = [socket.socketpair() for _ in range(1_000)]
    try:
        async with Renderer() as renderer:
            assert await render(renderer, "{{ n }}") == "3"
            assert psutil.Process(renderer.process_id).num_fds() == 4
    finally:
        for pair in pairs:
            pair[0].close()
            pair[1].close()
        psutil.Process().rlimit(psutil.RLIMIT_NOFILE, (soft, hard))
