"""What answers about the code of a commit look like."""

from pydantic import BaseModel


class LanguageTotals(BaseModel):
    files: int
    code: int
    comment: int
    blank: int


class Totals(BaseModel):
    files: int
    lines: int
    functions: int
    classes: int


class FileFigures(BaseModel):
    """One file in figures; `roles` are among test, vendored and generated."""

    path: str
    language: str | None
    lines: int
    function_count: int
    class_count: int
    complexity: int
    most_complex: int
    roles: list[str]
    note: str | None


class Module(BaseModel):
    """What a file imports from the repository and from outside of it, and which files import it."""

    imports: list[str]
    external: list[str]
    imported_by: list[str]


class Dependency(BaseModel):
    name: str
    ecosystem: str
    path: str
    scope: str
    requirement: str | None
    version: str | None


class EntryPoint(BaseModel):
    path: str
    kind: str
    name: str


class TestCommand(BaseModel):
    __test__ = False

    command: str
    reason: str


class Tests(BaseModel):
    files: int
    folders: list[str]
    commands: list[TestCommand]


class Author(BaseModel):
    name: str
    commits: int


class FileOwners(BaseModel):
    """Who answers for a file: by CODEOWNERS, and who changed it most."""

    owners: list[str]
    authors: list[Author]


class HotSpot(BaseModel):
    path: str
    commits: int
    complexity: int
    score: float


class CoChange(BaseModel):
    path: str
    other: str
    together: int
    confidence: float


class HistoryFigures(BaseModel):
    commits: int
    is_whole: bool
    since: str | None


class LeftOut(BaseModel):
    reason: str
    count: int
    paths: list[str]


class CodebaseFacts(BaseModel):
    """What is known of a commit, as `contexten analyse --json` has it but for functions; `notes` say what was cut."""

    repository: str
    commit: str
    languages: dict[str, LanguageTotals]
    primary_language: str | None
    totals: Totals
    files: list[FileFigures]
    modules: dict[str, Module]
    cycles: list[list[str]]
    dependencies: list[Dependency]
    entry_points: list[EntryPoint]
    tests: Tests
    owners: dict[str, FileOwners]
    history: HistoryFigures
    hot_spots: list[HotSpot]
    co_changes: list[CoChange]
    maintainability: float | None
    left_out: list[LeftOut]
    notes: list[str]
    duration_seconds: float


class Symbol(BaseModel):
    """A function, method or class; `name` is qualified, and a class has complexity 0."""

    path: str
    name: str
    kind: str
    line: int
    end_line: int
    complexity: int


class FoundSymbols(BaseModel):
    """Symbols, equal names first, then beginnings, then the rest."""

    items: list[Symbol]


class ChangedFile(BaseModel):
    """A file of a change; `lines` are ranges afterwards, `old_lines` before."""

    path: str
    old_path: str | None
    kind: str
    lines: list[tuple[int, int]]
    old_lines: list[tuple[int, int]]
    added: int
    removed: int


class ChangedSymbol(BaseModel):
    path: str
    name: str
    kind: str
    change: str
    line: int
    end_line: int
    complexity: int


class Reached(BaseModel):
    """Code that depends on a change, so many calls or imports away; `name` is empty for a file as a whole."""

    path: str
    name: str
    depth: int
    confidence: float
    through: str


class RiskPart(BaseModel):
    name: str
    value: float
    weight: int
    evidence: str


class Risk(BaseModel):
    """0 to 100: the sum of its parts, each a value between 0 and 1 times its weight."""

    score: float
    level: str
    parts: list[RiskPart]


class CodebaseImpact(BaseModel):
    """What the change between two commits means."""

    base: str
    head: str
    files: list[ChangedFile]
    symbols: list[ChangedSymbol]
    reached: list[Reached]
    tests: list[Reached]
    untested: list[str]
    owners: dict[str, list[str]]
    authors: list[str]
    past_failures: list[str]
    risk: Risk
    left_out: list[str]
