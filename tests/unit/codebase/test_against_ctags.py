"""The functions of small files as universal-ctags sees them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from contexten_core.codebase.analyse import analyse_file

KINDS = {"function", "method", "singletonMethod", "func"}
SOURCES = {
    "a.c": "int f(int a) { return a; }\nstatic void g(void)\n{\n}\nint h(int);\n",
    "a.cpp": "class A { A() {} void m() {} };\nint A::n() { return 1; }\nbool operator==(A a, A b) { return true; }\n",
    "a.go": "package a\nfunc f() {}\nfunc (s *S) m() {}\n",
    "A.java": "class A { A() {} int f() { return 1; } }\ninterface I { void m(); }\n",
    "a.php": "<?php\nfunction f() {}\nabstract class A { function m() {} abstract function n(); }\n",
    "a.py": "def f():\n    pass\nclass A:\n    async def m(self):\n        pass\n",
    "a.rb": "class A\n  def f; end\n  def self.g; end\nend\ndef h; end\n",
    "a.rs": "fn f() {}\nimpl A { fn m(&self) {} }\ntrait T { fn n(&self); }\n",
    "a.sh": "f() { :; }\nfunction g { :; }\n",
}


@pytest.mark.skipif(shutil.which("ctags") is None, reason="NOT COMPARED WITH CTAGS: universal-ctags is not installed")
@pytest.mark.parametrize("path", SOURCES)
def test_functions_are_those_of_ctags(path: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.write_text(SOURCES[path])
    answer = subprocess.run(
        ["ctags", "--options=NONE", "--output-format=json", "--fields=+nK", "-f", "-", str(file)],
        capture_output=True,
        check=True,
        text=True,
    )
    # Python's methods are "members" for ctags, as the fields of C are.
    kinds = KINDS | {"member"} if path.endswith(".py") else KINDS
    tags = [json.loads(line) for line in answer.stdout.splitlines()]
    facts = analyse_file(path=path, data=file.read_bytes())
    assert {(fact.line, fact.name.replace(" ", "")) for fact in facts.functions} == {
        (tag["line"], tag["name"].replace(" ", "")) for tag in tags if tag.get("kind") in kinds
    }
