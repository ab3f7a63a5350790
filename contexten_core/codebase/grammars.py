"""Which languages are parsed, and what a function, a class, a branch and a call are in each: one row per grammar.

A function is a named piece of code with a body, methods, constructors and nested functions included. A function
expression counts where something names it: a variable, a property, a field, a default export. Signatures without a
body do not count, nor do lambdas, closures, callbacks and the methods of Java's anonymous classes, which are callbacks,
nor code inside Rust macros; in Java, C#, PHP and Rust methods without a body do count, because interfaces, abstract
classes and traits are made of them. A class is a type declared with a body of its own: class, struct, union, enum,
record, interface, trait, Ruby module; aliases are not.

The rows name node types rather than hold tree-sitter queries: below 32,768 levels the query cursor of tree-sitter 0.26
takes quadratic time and loses matches, and the progress callback that would bound it ends the process.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from contexten_core.codebase.grammar import Call, Definition, Flow, Grammar, LoadedGrammar, Scope, loaded


def _rows(*nodes: str, body: str = "body", bases: tuple[str, ...] = ()) -> tuple[Definition, ...]:
    return tuple(Definition(node, body=body, bases=bases) for node in nodes)


def _named_values(*values: str, fields: Definition, bases: tuple[str, ...] = ()) -> tuple[Definition, ...]:
    """Rows for what is anonymous itself and named by where it is put; `fields` is where a class puts it."""
    rows = (
        Definition("variable_declarator", body="value"),
        Definition("assignment_expression", name=("left", "property"), body="right"),
        Definition("pair", name=("key",), body="value"),
        Definition("export_statement", name=(), called="default", body="value"),
        replace(fields, body="value"),
    )
    return tuple(replace(row, of=values, inner="body", bases=bases) for row in rows)


def _ecmascript_functions(*, fields: Definition) -> tuple[Definition, ...]:
    return (
        *_rows("function_declaration", "generator_function_declaration", "method_definition"),
        *_rows("function_expression", "generator_function"),
        *_named_values("arrow_function", "function_expression", "generator_function", fields=fields),
    )


def _ecmascript_classes(*, fields: Definition) -> tuple[Definition, ...]:
    bases = ("class_heritage",)
    return (*_rows("class_declaration", "class", bases=bases), *_named_values("class", fields=fields, bases=bases))


_JAVASCRIPT_FIELDS = Definition("field_definition", name=("property",))
_TYPESCRIPT_FIELDS = Definition("public_field_definition")
_C_LOOPS = ("for_statement", "while_statement", "do_statement")
_ECMASCRIPT_NESTS = ("if_statement", *_C_LOOPS, "for_in_statement", "catch_clause", "ternary_expression")
_ECMASCRIPT = Grammar(
    module="tree_sitter_javascript",
    functions=_ecmascript_functions(fields=_JAVASCRIPT_FIELDS),
    classes=_ecmascript_classes(fields=_JAVASCRIPT_FIELDS),
    flow=Flow(
        branches=_ECMASCRIPT_NESTS,
        cases=("switch_case",),
        nests=(*_ECMASCRIPT_NESTS, "switch_statement"),
        chained=("if_statement",),
        elses=("else_clause",),
        jumps=("break_statement", "continue_statement"),
        lambdas=("arrow_function", "function_expression", "generator_function"),
        logical=("binary_expression",),
        operators=("&&", "||", "??"),
    ),
    calls=(Call("call_expression"), Call("new_expression", ("constructor",), "constructor")),
    imports={"import_statement": "ecmascript", "export_statement": "ecmascript"},
    import_calls=frozenset({"require", "import"}),
    comments=("comment", "html_comment", "hash_bang_line"),
    decorators=("decorator",),
    wrappers=("export_statement", "lexical_declaration", "variable_declaration", "expression_statement"),
)


def _typescript(*, function: str) -> Grammar:
    return replace(
        _ECMASCRIPT,
        module="tree_sitter_typescript",
        function=function,
        functions=_ecmascript_functions(fields=_TYPESCRIPT_FIELDS),
        classes=(
            *_ecmascript_classes(fields=_TYPESCRIPT_FIELDS),
            *_rows("abstract_class_declaration", bases=("class_heritage",)),
            *_rows("interface_declaration", bases=("extends_type_clause",)),
            *_rows("enum_declaration"),
        ),
        scopes=(Scope("internal_module"), Scope("module")),
        wrappers=(*_ECMASCRIPT.wrappers, "ambient_declaration"),
    )


_C_DECLARED = ("declarator",)
_C_BRANCHES = ("if_statement", *_C_LOOPS, "conditional_expression")
_C = Grammar(
    module="tree_sitter_c",
    functions=(Definition("function_definition", name=_C_DECLARED),),
    classes=(
        *_rows("struct_specifier", "union_specifier", "enum_specifier"),
        Definition(
            "type_definition",
            name=_C_DECLARED,
            body="type",
            of=("struct_specifier", "union_specifier", "enum_specifier"),
            inner="body",
        ),
    ),
    flow=Flow(
        branches=_C_BRANCHES,
        cases=("case_statement",),
        nests=(*_C_BRANCHES, "switch_statement"),
        chained=("if_statement",),
        elses=("else_clause",),
        jumps=("goto_statement",),
        logical=("binary_expression",),
    ),
    calls=(Call("call_expression"),),
    imports={"preproc_include": "c"},
    wrappers=("type_definition", "declaration"),
)
_JAVA_NESTS = ("if_statement", *_C_LOOPS, "enhanced_for_statement", "catch_clause", "ternary_expression")
_CSHARP_NESTS = ("if_statement", *_C_LOOPS, "foreach_statement", "catch_clause", "conditional_expression")
_PHP_NESTS = ("if_statement", *_C_LOOPS, "foreach_statement", "catch_clause", "conditional_expression")
_CPP_NESTS = (*_C_BRANCHES, "for_range_loop", "catch_clause")
_RUST_NESTS = ("if_expression", "for_expression", "while_expression", "loop_expression")
_RUBY_NESTS = ("if", "unless", "while", "until", "for", "rescue", "conditional")
_RUBY_MODIFIERS = ("if_modifier", "unless_modifier", "while_modifier", "until_modifier", "rescue_modifier")
_BASH_NESTS = ("if_statement", "for_statement", "c_style_for_statement", "while_statement")
_PYTHON_NESTS = ("if_statement", "for_statement", "while_statement", "except_clause", "conditional_expression")

GRAMMARS: Mapping[str, Grammar] = {
    "bash": Grammar(
        module="tree_sitter_bash",
        functions=_rows("function_definition"),
        classes=(),
        flow=Flow(
            branches=(*_BASH_NESTS, "elif_clause", "ternary_expression"),
            cases=("case_item",),
            nests=(*_BASH_NESTS, "case_statement", "ternary_expression"),
            elses=("elif_clause", "else_clause"),
            logical=("list", "binary_expression"),
        ),
        calls=(Call("command", ("name",), "name"),),
        import_calls=frozenset({"source", "."}),
        docs=(b"#",),
    ),
    "c": _C,
    "c_sharp": Grammar(
        module="tree_sitter_c_sharp",
        functions=(
            *_rows("method_declaration", "constructor_declaration", "destructor_declaration", body=""),
            Definition("operator_declaration", name=("operator",), body=""),
            Definition("conversion_operator_declaration", name=("type",), body=""),
            *_rows("local_function_statement"),
        ),
        classes=(
            *_rows(
                "class_declaration",
                "struct_declaration",
                "record_declaration",
                "interface_declaration",
                "enum_declaration",
                body="",
                bases=("base_list",),
            ),
        ),
        flow=Flow(
            branches=_CSHARP_NESTS,
            cases=("switch_section", "switch_expression_arm"),
            nests=(*_CSHARP_NESTS, "switch_statement", "switch_expression"),
            chained=("if_statement",),
            jumps=("goto_statement",),
            lambdas=("lambda_expression", "anonymous_method_expression"),
            logical=("binary_expression",),
            operators=("&&", "||", "??"),
        ),
        calls=(Call("invocation_expression"), Call("object_creation_expression", ("type",), "type")),
        scopes=(Scope("namespace_declaration", package=True), Scope("file_scoped_namespace_declaration", package=True)),
        imports={"using_directive": "c_sharp"},
        decorators=("attribute_list",),
    ),
    "cpp": replace(
        _C,
        module="tree_sitter_cpp",
        classes=(
            *_rows("class_specifier", "struct_specifier", "union_specifier", bases=("base_class_clause",)),
            *_rows("enum_specifier"),
            *_C.classes[-1:],
        ),
        flow=replace(
            _C.flow,
            branches=_CPP_NESTS,
            nests=(*_CPP_NESTS, "switch_statement"),
            lambdas=("lambda_expression",),
            operators=("&&", "||", "and", "or"),
        ),
        calls=(Call("call_expression"), Call("new_expression", ("type",), "type")),
        scopes=(Scope("namespace_definition"),),
        decorators=("attribute_declaration",),
        wrappers=(*_C.wrappers, "template_declaration", "linkage_specification"),
    ),
    "go": Grammar(
        module="tree_sitter_go",
        functions=_rows("function_declaration", "method_declaration"),
        classes=(Definition("type_spec", body="type", of=("struct_type", "interface_type")),),
        flow=Flow(
            branches=("if_statement", "for_statement"),
            cases=("expression_case", "type_case", "communication_case"),
            nests=(
                "if_statement",
                "for_statement",
                "expression_switch_statement",
                "type_switch_statement",
                "select_statement",
            ),
            chained=("if_statement",),
            jumps=("goto_statement", "break_statement", "continue_statement"),
            lambdas=("func_literal",),
            logical=("binary_expression",),
        ),
        calls=(Call("call_expression"),),
        scopes=(Scope("package_clause", package=True),),
        imports={"import_spec": "go"},
        docs=(b"//", b"/*"),
        wrappers=("type_declaration",),
    ),
    "java": Grammar(
        module="tree_sitter_java",
        functions=(
            *_rows("method_declaration", body=""),
            *_rows("constructor_declaration", "compact_constructor_declaration"),
            *_rows("annotation_type_element_declaration", body=""),
        ),
        anonymous=("object_creation_expression",),
        classes=_rows(
            "class_declaration",
            "interface_declaration",
            "enum_declaration",
            "record_declaration",
            "annotation_type_declaration",
            bases=("superclass", "super_interfaces", "extends_interfaces"),
        ),
        flow=Flow(
            branches=_JAVA_NESTS,
            cases=("switch_label",),
            nests=(*_JAVA_NESTS, "switch_expression"),
            chained=("if_statement",),
            jumps=("break_statement", "continue_statement"),
            lambdas=("lambda_expression",),
            logical=("binary_expression",),
        ),
        calls=(
            Call("method_invocation", ("object", "name"), "name"),
            Call("object_creation_expression", ("type",), "type"),
        ),
        scopes=(Scope("package_declaration", package=True),),
        imports={"import_declaration": "java"},
        comments=("line_comment", "block_comment"),
        decorators=("annotation", "marker_annotation"),
    ),
    "javascript": _ECMASCRIPT,
    "php": Grammar(
        module="tree_sitter_php",
        function="language_php",
        functions=(*_rows("function_definition"), *_rows("method_declaration", body="")),
        classes=_rows(
            "class_declaration",
            "interface_declaration",
            "trait_declaration",
            "enum_declaration",
            bases=("base_clause", "class_interface_clause"),
        ),
        flow=Flow(
            branches=(*_PHP_NESTS, "else_if_clause"),
            cases=("case_statement", "match_conditional_expression"),
            nests=(*_PHP_NESTS, "switch_statement", "match_expression"),
            chained=("if_statement",),
            elses=("else_clause", "else_if_clause"),
            jumps=("goto_statement",),
            lambdas=("arrow_function", "anonymous_function"),
            logical=("binary_expression",),
            operators=("&&", "||", "and", "or", "xor", "??"),
        ),
        calls=(
            Call("function_call_expression"),
            Call("member_call_expression", ("object",), "name"),
            Call("nullsafe_member_call_expression", ("object",), "name"),
            Call("scoped_call_expression", ("scope",), "name"),
            Call("object_creation_expression", (), ""),
        ),
        scopes=(Scope("namespace_definition", package=True),),
        imports={
            "namespace_use_declaration": "php",
            "include_expression": "php_file",
            "include_once_expression": "php_file",
            "require_expression": "php_file",
            "require_once_expression": "php_file",
        },
        decorators=("attribute_group",),
    ),
    "python": Grammar(
        module="tree_sitter_python",
        functions=_rows("function_definition"),
        classes=_rows("class_definition", bases=("superclasses",)),
        flow=Flow(
            branches=(*_PYTHON_NESTS, "elif_clause", "for_in_clause", "if_clause"),
            cases=("case_clause",),
            nests=(*_PYTHON_NESTS, "match_statement"),
            elses=("elif_clause", "else_clause"),
            lambdas=("lambda",),
            logical=("boolean_operator",),
            operators=("and", "or"),
        ),
        calls=(Call("call"),),
        decorators=("decorator",),
        wrappers=("decorated_definition",),
    ),
    "ruby": Grammar(
        module="tree_sitter_ruby",
        functions=_rows("method", "singleton_method", body="name"),
        classes=_rows("class", "module", body="name", bases=("superclass",)),
        flow=Flow(
            branches=(*_RUBY_NESTS, *_RUBY_MODIFIERS, "elsif"),
            cases=("when", "in_clause"),
            nests=(*_RUBY_NESTS, *_RUBY_MODIFIERS, "case", "case_match"),
            elses=("elsif", "else"),
            lambdas=("lambda", "block", "do_block"),
            logical=("binary",),
            operators=("&&", "||", "and", "or"),
        ),
        calls=(Call("call", ("receiver", "method"), "method"),),
        import_calls=frozenset({"require", "require_relative", "load", "autoload"}),
        docs=(b"#", b"=begin"),
    ),
    "rust": Grammar(
        module="tree_sitter_rust",
        functions=(*_rows("function_item"), *_rows("function_signature_item", body="")),
        classes=(
            *_rows("struct_item", body="name"),
            *_rows("union_item", "enum_item"),
            *_rows("trait_item", bases=("bounds",)),
        ),
        flow=Flow(
            branches=_RUST_NESTS,
            cases=("match_arm",),
            nests=(*_RUST_NESTS, "match_expression"),
            chained=("if_expression",),
            elses=("else_clause",),
            jumps=("break_expression", "continue_expression"),
            lambdas=("closure_expression",),
            logical=("binary_expression", "let_chain"),
        ),
        calls=(Call("call_expression"), Call("macro_invocation", ("macro",), "macro")),
        scopes=(Scope("impl_item", name="type", is_type=True), Scope("mod_item")),
        imports={"use_declaration": "rust", "extern_crate_declaration": "rust_crate", "mod_item": "rust_module"},
        comments=("line_comment", "block_comment"),
        docs=(b"///", b"/**"),
        decorators=("attribute_item",),
    ),
    "tsx": _typescript(function="language_tsx"),
    "typescript": _typescript(function="language_typescript"),
}


@cache
def load(name: str) -> LoadedGrammar:
    """Load a grammar of the table, once per process: the first time costs milliseconds."""
    return loaded(GRAMMARS[name])
