"""The process that renders templates: it is sent texts and values, answers with a text each, and can do nothing else.

It is started anew after whatever went wrong in it. It imports Jinja and nothing of ours that knows a database, opens
no file, and ends with the socket that it is spoken to over.
"""

import gc
import json
import os
import resource
import signal
import struct
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import CodeType, FrameType, TracebackType
from typing import Any

from jinja2 import BaseLoader, Environment, Template, nodes, pass_context, pass_environment
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer

from contexten_core.prompts.templates.filters import (
    TemplateRefusal,
    checked_number,
    items_of,
    joined,
    number_of,
    plain,
    room_for,
    shown,
    text_of,
    whole_of,
)
from contexten_core.prompts.templates.language import (
    NAMESPACES,
    Language,
    Problem,
    Reading,
    TemplateFault,
    read_template,
    suggestion,
)

LENGTH = struct.Struct(">I")
LARGEST_MESSAGE = 16 * 1024**2
MOST_MEMORY = 64 * 1024**2
"""Bytes that a child may take besides the some 24 MB of address space that it starts with."""

_SOCKET = 0
_STATUS = 3
_MOST_STEPS = 100_000
_LONGEST_RANGE = 10_000
_DEEPEST_INCLUDES = 10
_LONGEST_SAID = 300
_BITS = 64
_SPARE_CPU_SECONDS = 2
_AGAIN_SECONDS = 0.05
_KEPT = 32
_LARGEST_KEPT = 20_000
_ALLOWED = frozenset({"compile", "exec", "resource.setrlimit"})
_LEAST_SECONDS = 0.001


class _OutOfTime(BaseException):
    """The processor time of a rendering is used up."""


class _Sandbox(Language):
    """The language with everything that can make much of little bounded."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})
    intercepted_unops = frozenset({"+", "-"})

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.finalize = pass_context(lambda _context, value: shown(value))
        self.globals["range"] = _range
        self.filters |= {"_each": _each, "_joined": joined, "_plain": plain}

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002 - Jinja's shape
        if operator == "+" and isinstance(left, str):
            return joined([left, text_of(right, "+ after a text")])
        if operator == "*" and isinstance(left, str):
            times = whole_of(right, "* after a text")
            room_for(len(left) * max(times, 0))
            return left * times
        one, two = number_of(left, operator), number_of(right, operator)
        if operator == "**":
            _check_power(one, two)
        return checked_number(self.binop_table[operator](one, two))

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:  # noqa: ARG002 - Jinja's shape
        return checked_number(self.unop_table[operator](number_of(arg, operator)))


def _check_power(base: float, exponent: float) -> None:
    is_whole = isinstance(base, int) and isinstance(exponent, int)
    if is_whole and abs(base) > 1 and exponent > _BITS:
        raise TemplateRefusal("the result is an integer beyond 64 bits")


def _range(*bounds: Any) -> range:
    found = range(*(whole_of(bound, "range") for bound in bounds))
    # Not len(), which knows no number beyond 64 bits.
    if found[_LONGEST_RANGE:]:
        raise TemplateRefusal(f"a range of more than {_LONGEST_RANGE:,} numbers")
    return found


@pass_environment
def _each(environment: Environment, value: Any) -> Any:
    assert isinstance(environment, _Sandbox)
    found = value if isinstance(value, range) else items_of(value, "a loop")
    environment.steps += len(found)
    if environment.steps > _MOST_STEPS:
        raise TemplateRefusal(f"its loops go round more than {_MOST_STEPS:,} times in all")
    return found


class _Bounds(NodeTransformer):
    """Puts the bounds around what Jinja offers no other way to bound."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - named after the node
        self.generic_visit(node)
        node.iter = self._through("_each", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802 - named after the node
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno, environment=self._environment)
        return self._through("_joined", parts)

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802 - named after the node
        self.generic_visit(node)
        node.items = [self._item(item) for item in node.items]
        return node

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802 - named after the node
        self.generic_visit(node)
        if node.ctx == "load":
            node.items = [self._item(item) for item in node.items]
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802 - named after the node
        self.generic_visit(node)
        node.key, node.value = self._through("_plain", node.key), self._item(node.value)
        return node

    def _item(self, node: nodes.Expr) -> nodes.Expr:
        # One that is written down where it is used is as large as what is written.
        is_literal = isinstance(node, nodes.Const | nodes.List | nodes.Tuple | nodes.Dict)
        return node if is_literal else self._through("_plain", node)

    def _through(self, name: str, node: nodes.Node) -> nodes.Expr:
        return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=self._environment)


class _Texts(BaseLoader):
    """The templates of one rendering."""

    def __init__(self, sandbox: _Sandbox) -> None:
        self._sandbox = sandbox
        self._kept: OrderedDict[tuple[str, str], tuple[CodeType, Reading]] = OrderedDict()
        self.templates: dict[str, Template] = {}

    def load(self, environment: Environment, name: str, globals: Any = None) -> Template:  # noqa: A002, ARG002 - Jinja's
        return self.templates[name]

    def prepare(self, name: str, texts: Mapping[str, str], values: Mapping[str, Any]) -> None:
        """Compile a template and all that it includes.

        Raises:
            TemplateFault: one of them is not as it has to be, is not there, or includes itself.
        """
        self.templates = {}
        self._prepare(name, texts, values, ())

    def _prepare(self, name: str, texts: Mapping[str, str], values: Mapping[str, Any], above: tuple[str, ...]) -> None:
        code, reading = self._compiled(name, texts[name])
        for use in reading.uses:
            if use.root not in values:
                near = suggestion(use.root, [*values, *NAMESPACES])
                raise TemplateFault(name, Problem(f"there is no variable {use.root}{near}", use.line, use.column))
        self.templates[name] = Template.from_code(self._sandbox, code, dict(self._sandbox.globals))
        path = (*above, name)
        for include in reading.includes:
            problem = None
            if include.reference not in texts:
                problem = f"there is no prompt {include.reference}"
            elif include.reference in path:
                problem = f"includes go in a circle: {' > '.join((*path, include.reference))}"
            elif len(path) > _DEEPEST_INCLUDES:
                problem = f"includes go more than {_DEEPEST_INCLUDES} deep"
            if problem:
                raise TemplateFault(name, Problem(problem, include.line, include.column))
            if include.reference not in self.templates:
                self._prepare(include.reference, texts, values, path)

    def _compiled(self, name: str, text: str) -> tuple[CodeType, Reading]:
        if (name, text) in self._kept:
            self._kept.move_to_end((name, text))
            return self._kept[name, text]
        tree, reading = read_template(self._sandbox, text)
        if tree is None or reading.problems:
            raise TemplateFault(name, reading.problems[0])
        _Bounds(self._sandbox).visit(tree)
        found = self._sandbox.compile(tree, name=name, filename=name), reading
        if len(text) <= _LARGEST_KEPT:
            self._kept[name, text] = found
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found


class Child:
    """Renders one template after the other."""

    def __init__(self) -> None:
        self._sandbox = _Sandbox()
        self._texts = _Texts(self._sandbox)
        self._sandbox.loader = self._texts
        self._is_timed = False
        signal.signal(signal.SIGPROF, self._ring)

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is said to a request: the text, or what went wrong and where.

        `spent` says that this child had better not be asked again.
        """
        name, problem, spent = request["name"], None, None
        try:
            self._start_clock(request["cpu_seconds"])
            try:
                return {"text": self._render(request)}
            finally:
                self._stop_clock()
        except TemplateFault as fault:
            name, problem = fault.template, fault.problem
        except TemplateRefusal as error:
            name, problem = self._place(error, str(error), name)
        except _OutOfTime as error:
            name, problem = self._place(error, f"takes more than {request['seconds']:g} s", name)
            spent = "time"
        except (MemoryError, RecursionError) as error:
            spent = "memory" if isinstance(error, MemoryError) else None
            name, problem = self._place(error, "needs too much memory" if spent else "is nested too deep", name)
        except OverflowError as error:
            name, problem = self._place(error, "the result is a number too large", name)
        except Exception as error:  # noqa: BLE001 - whatever a template does is its author's to read
            said = " ".join(str(error).split())[:_LONGEST_SAID] or type(error).__name__
            name, problem = self._place(error, said, name)
        return {
            "template": name,
            "message": problem.message,
            "line": problem.line,
            "column": problem.column,
            "spent": spent,
        }

    def _render(self, request: Mapping[str, Any]) -> str:
        name, values = request["name"], request["values"]
        self._texts.prepare(name, {**request["includes"], name: request["text"]}, values)
        self._sandbox.steps = 0
        template = self._texts.templates[name]
        stream = template.root_render_func(template.new_context(values))
        return "".join(_until(stream, request["characters"]))

    def _place(self, error: BaseException, message: str, name: str) -> tuple[str, Problem]:
        """Return the innermost line of a template that an error comes from."""
        line = None
        trace = error.__traceback__
        while trace is not None:
            found = trace.tb_frame.f_globals.get("__jinja_template__")
            if isinstance(found, Template):
                name, line = found.name or name, found.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return name, Problem(message, line or self._sandbox.tokens.line)

    def _start_clock(self, seconds: float) -> None:
        self._is_timed = True
        # Should nobody be left who would end this process, the system does.
        limit = int(time.process_time() + seconds) + _SPARE_CPU_SECONDS
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
        # Once more after a while, for an exception that is raised where none can be is lost.
        signal.setitimer(signal.ITIMER_PROF, max(seconds, _LEAST_SECONDS), _AGAIN_SECONDS)

    def _stop_clock(self) -> None:
        self._is_timed = False
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _ring(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the shape of a handler
        if self._is_timed:
            raise _OutOfTime


def _until(stream: Iterator[str], limit: int) -> Iterator[str]:
    size = 0
    for part in stream:
        size += len(part)
        if size > limit:
            # Raised inside of the template, whose line is then known.
            stream.throw(TemplateRefusal(f"the text becomes longer than {limit:,} characters"))  # type: ignore[attr-defined]
        yield part


def serve() -> None:
    """Answer requests until the other end of the socket is closed: the whole life of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = Child()
    _warm_up(child)
    _shut_in()
    with suppress(EOFError, OSError):
        _send({})
        while True:
            data = _receive()
            try:
                answer = child.answer(json.loads(data.decode("utf-8", "surrogatepass")))
            except MemoryError:
                answer = {"template": None, "message": "its values need too much memory", "spent": "memory"}
            del data
            _send({**answer, "peak_bytes": _peak_bytes()})


def _warm_up(child: Child) -> None:
    """Have everything loaded that any template can need: later no file can be opened."""
    text = "{% for a in b %}{{ a | upper ~ '\\n' }}{{ c.d }}{% endfor %}{{ b | tojson }}"
    rest = {"name": "", "text": text, "includes": {}, "seconds": 10.0, "cpu_seconds": 10.0, "characters": 100}
    # One that can be rendered, one that fails while it is, and one that is not even begun.
    for values in ({"b": ["1"], "c": {"d": "e"}}, {"b": ["1"], "c": {}}, {}):
        child.answer({**rest, "values": values})


def _shut_in() -> None:
    """Give up everything that rendering does not need, for good."""
    descriptors = _SOCKET + 3
    if sys.platform == "linux":
        found = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        assert found == _STATUS
        descriptors = _STATUS + 1
        size = int(_status("VmSize:")) * 1024
        _limit(resource.RLIMIT_AS, size + MOST_MEMORY)
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        _limit(kind, 0)
    _limit(resource.RLIMIT_NOFILE, descriptors)
    gc.collect()
    gc.freeze()
    sys.addaudithook(_forbid)


def _limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, value))


def _forbid(event: str, arguments: tuple[Any, ...]) -> None:
    # The last is how `_place` reads where an error comes from.
    is_place = event == "object.__getattr__" and isinstance(arguments[0], TracebackType)
    if event not in _ALLOWED and not is_place:
        raise TemplateRefusal(f"{event} is not for templates")


def _status(name: str) -> str:
    text = os.pread(_STATUS, 4096, 0).decode()
    return next((line.split()[1] for line in text.splitlines() if line.startswith(name)), "0")


def _peak_bytes() -> int | None:
    return int(_status("VmHWM:")) * 1024 if sys.platform == "linux" else None


def _receive() -> bytes:
    (size,) = LENGTH.unpack(_read(LENGTH.size))
    if size > LARGEST_MESSAGE:
        raise EOFError
    return _read(size)


def _read(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = os.read(_SOCKET, min(size - len(data), 65_536))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _send(answer: Mapping[str, Any]) -> None:
    data = json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass")
    view = memoryview(LENGTH.pack(len(data)) + data)
    while view:
        view = view[os.write(_SOCKET, view) :]
