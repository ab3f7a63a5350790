"""Which language a file is in, and what its comments look like: one row per language."""

import re
from dataclasses import dataclass
from enum import StrEnum

from contexten_core.codebase.comments import Syntax

_SHEBANG = re.compile(rb"#!\s*(?:\S*/env(?:\s+-\S+|\s+\w+=\S*)*\s+)?(?:[^\s/]*/)*([a-zA-Z+]+)")
_SHEBANG_BYTES = 256
_CPP = re.compile(
    rb"^[ \t]*(?:class[ \t]+\w|namespace\b|template[ \t]*<|using[ \t]+\w|(?:public|private|protected)[ \t]*:|virtual\b)"
    rb"|\bstd::|^[ \t]*#[ \t]*include[ \t]*<[a-z_]+>|\b(?:constexpr|noexcept|static_cast|nullptr)\b",
    re.MULTILINE,
)
_HEADER_BYTES = 1 << 16


class LanguageKind(StrEnum):
    SOURCE = "source"
    DATA = "data"
    PROSE = "prose"


@dataclass(frozen=True, slots=True)
class Language:
    """A language by the names of its files.

    Attributes:
        extensions: with their dot, in lower case.
        filenames: whole names, in lower case; "dockerfile" stands for "Dockerfile.dev" as well.
        interpreters: what a script names in its first line, without digits.
        grammar: its key in GRAMMARS, or None when its files are counted and not parsed.
    """

    name: str
    syntax: Syntax
    extensions: tuple[str, ...] = ()
    filenames: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()
    kind: LanguageKind = LanguageKind.SOURCE
    grammar: str | None = None


_C = Syntax(line=("//",), block=(("/*", "*/"),), quotes=('"', "'"))
_C_TEXT = Syntax(line=("//",), block=(("/*", "*/"),), quotes=('"', "'"), texts=('"""',))
_C_TICK = Syntax(line=("//",), block=(("/*", "*/"),), quotes=('"', "'"), texts=("`",))
_CSS = Syntax(block=(("/*", "*/"),), quotes=('"', "'"))
_HASH = Syntax(line=("#",))
_HASH_C = Syntax(line=("#", "//"), block=(("/*", "*/"),), quotes=('"',))
_HASH_TEXT = Syntax(line=("#",), quotes=('"', "'"), texts=('"""', "'''"))
_DASH = Syntax(line=("--",), quotes=('"',))
_SEMICOLON = Syntax(line=(";",), quotes=('"',))
_LISP = Syntax(line=(";",), block=(("#|", "|#"),), quotes=('"',))
_MARKUP = Syntax(block=(("<!--", "-->"),))
_ML = Syntax(block=(("(*", "*)"),), quotes=('"',))
_NONE = Syntax()
_PHP = Syntax(line=("//", "#"), block=(("/*", "*/"),), quotes=('"', "'"))
_PERCENT = Syntax(line=("%",))

TEXT = Language(
    "Text", _NONE, (".txt", ".text"), ("license", "licence", "copying", "authors", "notice"), kind=LanguageKind.PROSE
)
"""What text of no known kind is taken for."""

LANGUAGES = (
    Language("Ada", _DASH, (".adb", ".ads")),
    Language("AsciiDoc", Syntax(line=("//",)), (".adoc", ".asciidoc"), kind=LanguageKind.PROSE),
    Language("Assembly", Syntax(line=(";", "#", "//"), block=(("/*", "*/"),)), (".asm", ".s")),
    Language("Awk", _HASH, (".awk",), interpreters=("awk", "gawk")),
    Language("Batchfile", Syntax(line=("::", "rem ", "REM ", "@rem ", "@REM ")), (".bat", ".cmd")),
    Language("C", _C, (".c", ".h"), grammar="c"),
    Language("C#", _C_TEXT, (".cs", ".csx"), grammar="c_sharp"),
    Language(
        "C++", _C, (".cc", ".cpp", ".cxx", ".c++", ".hh", ".hpp", ".hxx", ".h++", ".inl", ".ipp", ".tpp"), grammar="cpp"
    ),
    Language("CMake", Syntax(line=("#",), block=(("#[[", "]]"),), quotes=('"',)), (".cmake",), ("cmakelists.txt",)),
    Language("CSS", _CSS, (".css",)),
    Language("CSV", _NONE, (".csv", ".tsv"), kind=LanguageKind.DATA),
    Language("CUDA", _C, (".cu", ".cuh")),
    Language("Clojure", _SEMICOLON, (".clj", ".cljc", ".cljs", ".edn")),
    Language("CoffeeScript", Syntax(line=("#",), block=(("###", "###"),), quotes=('"', "'")), (".coffee",)),
    Language("Common Lisp", _LISP, (".lisp", ".lsp")),
    Language("Crystal", Syntax(line=("#",), quotes=('"',)), (".cr",), interpreters=("crystal",)),
    Language("D", Syntax(line=("//",), block=(("/*", "*/"), ("/+", "+/")), quotes=('"', "'"), texts=("`",)), (".d",)),
    Language("Dart", _C_TEXT, (".dart",)),
    Language("Dockerfile", _HASH, (".dockerfile",), ("dockerfile", "containerfile")),
    Language("Elixir", _HASH_TEXT, (".ex", ".exs"), interpreters=("elixir",)),
    Language("Elm", Syntax(line=("--",), block=(("{-", "-}"),), quotes=('"',), texts=('"""',)), (".elm",)),
    Language("Emacs Lisp", _SEMICOLON, (".el",)),
    Language("Erlang", _PERCENT, (".erl", ".hrl"), interpreters=("escript",)),
    Language("F#", Syntax(line=("//",), block=(("(*", "*)"),), quotes=('"',), texts=('"""',)), (".fs", ".fsi", ".fsx")),
    Language("Fish", _HASH, (".fish",), interpreters=("fish",)),
    Language("Fortran", Syntax(line=("!",), quotes=('"', "'")), (".f", ".f90", ".f95", ".f03", ".f08", ".for")),
    Language("GLSL", _C, (".glsl", ".frag", ".vert", ".comp")),
    Language("Go", _C_TICK, (".go",), grammar="go"),
    Language("GraphQL", _HASH_TEXT, (".graphql", ".gql")),
    Language("Groovy", _C_TEXT, (".groovy", ".gradle"), ("jenkinsfile",), interpreters=("groovy",)),
    Language("HTML", _MARKUP, (".html", ".htm", ".xhtml")),
    Language(
        "Haskell", Syntax(line=("--",), block=(("{-", "-}"),), quotes=('"',)), (".hs",), interpreters=("runhaskell",)
    ),
    Language(
        "INI",
        Syntax(line=(";", "#")),
        (".ini", ".cfg", ".conf"),
        (".editorconfig", ".gitconfig", ".gitmodules"),
        kind=LanguageKind.DATA,
    ),
    Language(
        "Ignore List",
        _HASH,
        filenames=(".gitignore", ".dockerignore", ".npmignore", ".eslintignore", ".prettierignore", ".gitattributes"),
        kind=LanguageKind.DATA,
    ),
    Language("JSON", _NONE, (".json", ".geojson", ".webmanifest", ".ipynb", ".jsonl"), kind=LanguageKind.DATA),
    Language("JSON with comments", _C, (".json5", ".jsonc"), kind=LanguageKind.DATA),
    Language("Java", _C_TEXT, (".java",), grammar="java"),
    Language("JavaScript", _C_TICK, (".js", ".jsx", ".mjs", ".cjs"), interpreters=("node",), grammar="javascript"),
    Language("Jinja", Syntax(block=(("{#", "#}"), ("<!--", "-->"))), (".j2", ".jinja", ".jinja2")),
    Language(
        "Julia",
        Syntax(line=("#",), block=(("#=", "=#"),), quotes=('"',), texts=('"""',)),
        (".jl",),
        interpreters=("julia",),
    ),
    Language("Kotlin", _C_TEXT, (".kt", ".kts")),
    Language("Less", _C, (".less",)),
    Language(
        "Lua",
        Syntax(line=("--",), block=(("--[[", "]]"),), quotes=('"', "'")),
        (".lua",),
        interpreters=("lua", "luajit"),
    ),
    Language("Makefile", _HASH, (".mk", ".mak"), ("makefile", "gnumakefile")),
    Language("Markdown", _MARKUP, (".md", ".markdown", ".mdx"), kind=LanguageKind.PROSE),
    Language("Nim", Syntax(line=("#",), block=(("#[", "]#"),), quotes=('"',), texts=('"""',)), (".nim",)),
    Language("Nix", Syntax(line=("#",), block=(("/*", "*/"),), quotes=('"',), texts=("''",)), (".nix",)),
    Language("OCaml", _ML, (".ml", ".mli")),
    Language("Objective-C", _C, (".m", ".mm")),
    # `#` starts comments in PHP as well, but far more often attributes.
    Language("PHP", _PHP, (".php", ".phtml", ".php5", ".php7"), interpreters=("php",), grammar="php"),
    Language("Pascal", Syntax(line=("//",), block=(("{", "}"), ("(*", "*)")), quotes=("'",)), (".pas", ".dpr", ".lpr")),
    Language("Perl", Syntax(line=("#",), block=(("\n=", "\n=cut"),)), (".pl", ".pm", ".t"), interpreters=("perl",)),
    Language(
        "PowerShell",
        Syntax(line=("#",), block=(("<#", "#>"),), quotes=('"', "'")),
        (".ps1", ".psm1", ".psd1"),
        (),
        ("pwsh",),
    ),
    Language(
        "Prolog",
        Syntax(line=("%",), block=(("/*", "*/"),), quotes=('"', "'")),
        (".prolog",),
        interpreters=("swipl",),
    ),
    Language("Properties", Syntax(line=("#", "!")), (".properties",), kind=LanguageKind.DATA),
    Language("Protocol Buffers", _C, (".proto",)),
    Language("Python", _HASH_TEXT, (".py", ".pyi", ".pyw"), interpreters=("python", "pypy"), grammar="python"),
    Language("R", _HASH, (".r",), interpreters=("rscript",)),
    Language(
        "Ruby",
        Syntax(line=("#",), block=(("\n=begin", "\n=end"),), quotes=('"', "'")),
        (".rb", ".rake", ".gemspec", ".ru"),
        ("gemfile", "rakefile", "vagrantfile", "podfile", "fastfile"),
        ("ruby", "jruby"),
        grammar="ruby",
    ),
    Language("Rust", Syntax(line=("//",), block=(("/*", "*/"),), quotes=('"',)), (".rs",), grammar="rust"),
    Language("SCSS", _C, (".scss", ".sass")),
    Language("SQL", Syntax(line=("--",), block=(("/*", "*/"),), quotes=("'", '"')), (".sql",)),
    Language("SVG", _MARKUP, (".svg",), kind=LanguageKind.DATA),
    Language("Scala", _C_TEXT, (".scala", ".sc", ".sbt"), interpreters=("scala",)),
    Language("Scheme", _LISP, (".scm", ".ss", ".rkt"), interpreters=("racket", "guile")),
    Language(
        "Shell",
        _HASH,
        (".sh", ".bash", ".zsh", ".ksh", ".bats"),
        (".bashrc", ".bash_profile", ".profile", ".zshrc", ".envrc"),
        ("sh", "bash", "dash", "ksh", "zsh"),
        grammar="bash",
    ),
    Language("Solidity", _C, (".sol",)),
    Language("Starlark", _HASH_TEXT, (".bzl", ".bazel", ".star"), ("tiltfile",)),
    Language("Svelte", Syntax(block=(("<!--", "-->"), ("/*", "*/"))), (".svelte",)),
    Language("Swift", _C_TEXT, (".swift",), interpreters=("swift",)),
    Language(
        "TOML", _HASH_TEXT, (".toml",), ("cargo.lock", "poetry.lock", "uv.lock", "pipfile"), kind=LanguageKind.DATA
    ),
    Language("Tcl", _HASH, (".tcl",), interpreters=("tclsh", "wish")),
    Language("TeX", _PERCENT, (".tex", ".sty", ".cls", ".bib"), kind=LanguageKind.PROSE),
    Language("Terraform", _HASH_C, (".tf", ".tfvars", ".hcl")),
    TEXT,
    Language("Thrift", _HASH_C, (".thrift",)),
    Language("TypeScript", _C_TICK, (".ts", ".mts", ".cts"), interpreters=("deno", "tsx", "bun"), grammar="typescript"),
    Language("TypeScript", _C_TICK, (".tsx",), grammar="tsx"),
    Language("VHDL", _DASH, (".vhd", ".vhdl")),
    Language("Verilog", _C, (".v", ".vh", ".sv", ".svh")),
    Language("Vim script", Syntax(line=('"',)), (".vim",), (".vimrc",)),
    Language("Visual Basic", Syntax(line=("'",)), (".vb", ".vbs", ".bas")),
    Language("Vue", Syntax(block=(("<!--", "-->"), ("/*", "*/"))), (".vue",)),
    Language("XML", _MARKUP, (".xml", ".xsd", ".xsl", ".xslt", ".plist", ".csproj", ".props"), kind=LanguageKind.DATA),
    Language("YAML", _HASH, (".yaml", ".yml"), (".clang-format",), kind=LanguageKind.DATA),
    Language("Zig", Syntax(line=("//",), quotes=('"', "'")), (".zig",)),
    Language("reStructuredText", _NONE, (".rst",), kind=LanguageKind.PROSE),
)

SOURCE_LANGUAGES = frozenset(language.name for language in LANGUAGES if language.kind is LanguageKind.SOURCE)

_BY_EXTENSION = {extension: language for language in LANGUAGES for extension in language.extensions}
_BY_FILENAME = {name: language for language in LANGUAGES for name in language.filenames}
_BY_INTERPRETER = {name: language for language in LANGUAGES for name in language.interpreters}


def language_by_path(path: str) -> Language | None:
    """Tell the language by the name of a file, with "/" between folders, or None when the name does not say."""
    name = path.rpartition("/")[2].lower()
    stem, dot, extension = name.rpartition(".")
    return (
        _BY_FILENAME.get(name)
        or (_BY_EXTENSION.get(dot + extension) if stem else None)
        or _BY_FILENAME.get(name.partition(".")[0])
    )


def language_by_shebang(text: bytes) -> Language | None:
    """Tell the language of a script by the interpreter that its first line asks for, or None."""
    shebang = _SHEBANG.match(text[:_SHEBANG_BYTES].partition(b"\n")[0])
    return _BY_INTERPRETER.get(shebang[1].decode("ascii").lower()) if shebang else None


def language_of(path: str, text: bytes) -> Language:
    """Tell the language of a file by its name, else by its first line; a header of C may turn out to be one of C++."""
    language = language_by_path(path) or language_by_shebang(text) or TEXT
    if language.grammar == "c" and path.lower().endswith(".h") and _CPP.search(text[:_HEADER_BYTES]):
        return _BY_EXTENSION[".hpp"]
    return language


def file_kind(path: str) -> str:
    """Return what the name of a file says of how to read it: equal content of equal kind has equal facts."""
    language = language_by_path(path)
    if language is None:
        return ""
    return f"{language.name}/{language.grammar}" if language.grammar else language.name
