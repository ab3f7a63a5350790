"""What counts as a function and as a class, grammar by grammar."""

import pytest

from contexten_core.codebase.analyse import analyse_file

SOURCES: dict[str, tuple[str, str, str]] = {
    "a.py": (
        """
@cache
def plain(): pass
class A(B):
    class Inner: x = lambda: 1
    async def method(self):
        def nested(): ...
""",
        "plain method nested",
        "A Inner",
    ),
    "a.js": (
        """
function plain() {} function* steps() {}
class A extends B { constructor() {} #hidden() {} get x() { return 1 } field = () => 1; [Symbol.iterator]() {} }
const arrow = async () => list.map(x => x), named = function itself() {};
exports.shown = function () {};
const o = { short() {}, key: () => 1 };
call(function callback() {}, () => 1);
const K = class Itself {};
(class Loose {});
export default function () {}
""",
        "plain steps constructor #hidden x field [Symbol.iterator] arrow named shown short key callback default",
        "A K Loose",
    ),
    "a.jsx": (
        "export default class extends React.Component { render() { return <p>{f(() => 1)}</p> } }",
        "render",
        "default",
    ),
    "a.ts": (
        """
function f(a: string): void;
function f(a: any) {}
declare function outside(): void;
abstract class A<T> { abstract g(): void; h(): void {} private i = <T>(x: T) => x; }
interface I { m(): void }
enum E { X }
type Alias = { a: 1 };
namespace N { export const z = () => <any>1 }
""",
        "f h i z",
        "A I E",
    ),
    "a.tsx": ("export const Page: React.FC = () => <main>{items.map((i) => <p>{i}</p>)}</main>;", "Page", ""),
    "a.go": (
        """
package a
type S struct{ a int }
type I interface { M() }
type Name string
type Alias = S
func plain() { g := func() {}; g() }
func (s *S) Method() {}
func assembly(x int)
""",
        "plain Method",
        "S I",
    ),
    "A.java": (
        """
abstract class A { A() {} abstract void no(); int f() { return g(x -> x); }
  record P(int x) { P {} } enum E { X; void e() {} } }
interface I { void no(); default void d() {} }
@interface Note {}
""",
        "A no f P e no d",
        "A P E I Note",
    ),
    "a.rs": (
        """
struct Unit; struct Pair(u8, u8); enum E { A } union U { a: u8 }
trait T { fn no(&self); fn given(&self) {} }
impl T for E { fn no(&self) { let c = |x| x; } }
async fn free() { fn nested() {} }
type Alias = E; mod m {}
macro_rules! make { () => { fn hidden() {} } }
""",
        "no given no free nested",
        "Unit Pair E U T",
    ),
    "a.rb": (
        """
module A::B
  class C < D
    class << self; def built; end; end
    def self.made = 1
    def value=(v); end
    def +(other); end
    define_method(:unseen) { }
  end
end
""",
        "built made value= +",
        "A::B C",
    ),
}


@pytest.mark.parametrize("path", SOURCES)
def test_functions_and_classes(path: str) -> None:
    source, functions, classes = SOURCES[path]
    facts = analyse_file(path=path, data=source.encode())
    assert facts.note is None
    assert [fact.name for fact in facts.functions] == functions.split()
    assert [fact.name for fact in facts.classes] == classes.split()


@pytest.mark.parametrize(
    ("path", "source", "code", "comment"),
    [
        ("a.py", '# one\n"two"\nx = "# no"\ndef f():\n    # three\n    """four"""\n', 2, 4),
        ("a.js", "#!/usr/bin/env node\n/* two\nthree */ f(/[/*]/)\n// four\nconst t = `\n// no\n`\n", 4, 3),
        ("a.ts", "/** one */\nlet x = '/*' // two\n", 1, 1),
        ("a.tsx", "const a = <p>{/* one */}\n// text\n</p>\n", 3, 0),
        ("a.go", "// one\nvar s = `\n// no\n`\n/* five */\n", 3, 2),
        ("A.java", '/** one */\nString s = """\n // no\n """;\n', 3, 1),
        ("a.rs", "/// one\n/* /* two */ three */\nfn f() {} // no\n", 1, 2),
        ("a.rb", "=begin\ntwo\n=end\n# four\nx = <<A\n# no\nA\n", 3, 4),
    ],
)
def test_comments(path: str, source: str, code: int, comment: int) -> None:
    facts = analyse_file(path=path, data=source.encode())
    assert (facts.code_lines, facts.comment_lines) == (code, comment)


def test_an_alternative_behind_a_condition_of_the_preprocessor_is_no_function_called_if() -> None:
    source = (
        "int f(int a) {\n  if (a) { }\n#ifdef X\n  else if (a > 1) { }\n#endif\n  else if (a > 2) { }\n  return a;\n}\n"
    )

    facts = analyse_file(path="a.c", data=source.encode())

    assert {function.name for function in facts.functions} <= {"f"}
