"""Cognitive complexity: the examples of G. Ann Campbell's paper (SonarSource, 2017), and what it leaves open."""

import pytest

from contexten_core.codebase.analyse import analyse_file

SUM_OF_PRIMES = """
int sumOfPrimes(int max) {
  int total = 0;
  OUT: for (int i = 1; i <= max; ++i) {
    for (int j = 2; j < i; ++j) {
      if (i % j == 0) { continue OUT; }
    }
    total += i;
  }
  return total;
}
"""
GET_WORDS = """
String getWords(int number) {
  switch (number) { case 1: return "one"; case 2: return "a couple"; case 3: return "a few"; default: return "lots"; }
}
"""
MY_METHOD = """
void myMethod() {
  try {
    if (condition1) {
      for (int i = 0; i < 10; i++) {
        while (condition2) { }
      }
    }
  } catch (ExcepType1 | ExcepType2 e) {
    if (condition2) { }
  }
}
"""
MY_METHOD_2 = "void myMethod2() { Runnable r = () -> { if (condition1) { } }; }"
OVERRIDDEN = """
MethodJavaSymbol overriddenSymbolFrom(ClassJavaType classType) {
  if (classType.isUnknown()) { return Symbols.unknownMethodSymbol; }
  boolean unknownFound = false;
  for (JavaSymbol overrideSymbol : classType.getSymbol().members().lookup(name)) {
    if (overrideSymbol.isKind(JavaSymbol.MTH) && !overrideSymbol.isStatic()) {
      MethodJavaSymbol methodJavaSymbol = (MethodJavaSymbol) overrideSymbol;
      if (canOverride(methodJavaSymbol)) {
        Boolean overriding = checkOverridingParameters(methodJavaSymbol, classType);
        if (overriding == null) {
          if (!unknownFound) { unknownFound = true; }
        } else if (overriding) {
          return methodJavaSymbol;
        }
      }
    }
  }
  if (unknownFound) { return Symbols.unknownMethodSymbol; }
  return null;
}
"""
SEQUENCES = "boolean m() { return a && b && c || d || e && f; }"
NEGATED = "void m() { if (a && !(b && c)) { } }"


@pytest.mark.parametrize(
    ("method", "cognitive"),
    [
        (SUM_OF_PRIMES, 7),
        (GET_WORDS, 1),
        (MY_METHOD, 9),
        (MY_METHOD_2, 2),
        (OVERRIDDEN, 19),
        (SEQUENCES, 3),
        (NEGATED, 3),
    ],
)
def test_the_examples_of_the_paper(method: str, cognitive: int) -> None:
    facts = analyse_file(path="A.java", data=f"class A {{ {method} }}".encode())
    assert [fact.cognitive for fact in facts.functions] == [cognitive]


def test_functions_in_functions_count_there_too_one_level_deeper_unless_they_are_all_there_is() -> None:
    """The paper's exception for Python: a decorator only defines and returns a function."""
    facts = analyse_file(
        path="a.py",
        data=b"""
def a_decorator(a, b):
    def inner(func):
        if condition:
            print(b)
        func()
    return inner

def not_a_decorator(a, b):
    my_var = a * b
    def inner(func):
        if condition:
            print(b)
        func()
    return inner
""",
    )
    assert [(fact.name, fact.cognitive) for fact in facts.functions] == [
        ("a_decorator", 1),
        ("inner", 1),
        ("not_a_decorator", 2),
        ("inner", 1),
    ]


@pytest.mark.parametrize(
    ("body", "cognitive"),
    [
        ("if a: pass\n elif b: pass\n else: pass", 3),
        ("for x in a:\n  if x: break\n else: pass", 4),
        ("try: pass\n except A:\n  if b: pass\n finally: pass", 3),
        ("with a:\n  if b: pass", 1),
        ("match a:\n  case 1 if b: pass\n  case _: pass", 1),
        ("return a and b and c", 1),
        ("return a and b or c and d", 3),
        ("return (a and b) and c", 1),
        ("return f(a and b) and c", 2),
        ("return not (a and b) and c", 2),
        ("return [x for x in a if x]", 0),
        ("return a if b else c", 1),
        ("return a if b else (c if d else e)", 3),
        ("if a: return b if c else d", 3),
        ("return lambda: a if b else c", 2),
        ("while a and b:\n  if c or d: pass", 5),
    ],
)
def test_python(body: str, cognitive: int) -> None:
    facts = analyse_file(path="a.py", data=f"def f():\n {body}\n".encode())
    assert [fact.cognitive for fact in facts.functions] == [cognitive]


def test_calling_itself_costs_nothing() -> None:
    """Recursion is left out, as in SonarSource's own analysers: by name alone it cannot be told for sure."""
    facts = analyse_file(path="a.go", data=b"package a\nfunc f() { f() }\n")
    assert [fact.cognitive for fact in facts.functions] == [0]
