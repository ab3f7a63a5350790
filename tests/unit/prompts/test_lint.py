from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from contexten_core.prompts.index.index import LivePrompt
from contexten_core.prompts.lint.lint import Finding, Severity, lint
from contexten_core.prompts.models import ConditionOperator, Executor, LogicalOperator, PromptStatus
from contexten_core.prompts.spec import ConditionSpec, OutputSpec, OutputType, PromptSpec, VariableSpec
from contexten_core.settings import Settings

COMMENTS = {OutputType.COMMENT: OutputSpec()}


def when(field: str, expected: Any, operator: str = "equals", **more: Any) -> ConditionSpec:
    return ConditionSpec(field, ConditionOperator(operator), expected, **more)


def either(field: str, expected: Any, operator: str = "equals", group: str | None = None) -> ConditionSpec:
    return when(field, expected, operator, logical_operator=LogicalOperator.OR, group=group)


def prompt(slug: str, *conditions: ConditionSpec, **changes: Any) -> PromptSpec:
    spec = PromptSpec(slug=slug, name=slug, template="Do it.", conditions=conditions or (when("event.type", "push"),))
    return replace(spec, **{"executor_config": {"command": f"make {slug}"}, **changes})


def found(*prompts: PromptSpec | LivePrompt, code: str, **options: Any) -> list[Finding]:
    return [one for one in lint(prompts, **options) if one.code == code]


def test_a_prompt_in_order_has_no_findings() -> None:
    assert lint([prompt("checks")], is_whole=False) == []


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (
            [when("event.type", "push"), when("event.type", "issues")],
            "`event.type equals 'push'` and `event.type equals 'issues'` can never hold together",
        ),
        ([when("event.type", ["a", "b"], "in"), when("event.type", ["c"], "in")], "can never hold together"),
        ([when("event.action", "opened"), when("event.action", ["opened"], "not_in")], "can never hold together"),
        ([when("change.risk", 50, "greater_than"), when("change.risk", 20, "less_than")], "can never hold together"),
        ([when("event.number", 3, "greater_than"), when("event.number", 4, "less_than")], "can never hold together"),
        ([when("event.branch", "dev"), when("event.branch", "^release/", "regex_match")], "can never hold together"),
        ([when("event.title", "taxes", "contains"), when("event.title", "tax", "not_contains")], "can never hold"),
        ([when("event.title", "^a$", "regex_match"), when("event.title", "^(b|c)$", "regex_match")], "can never hold"),
        ([when("event.from_bot", True), either("event.from_bot", False)], "can never hold together"),
        ([when("event.provider", "gitub")], "is never that; did you mean github?"),
        ([when("event.number", "12")], "event.number is a number, with which it cannot be compared like that"),
        ([when("event.type", [], "in")], "the list is empty"),
        ([when("event.type", 3, "greater_than")], "event.type is a text"),
        ([when("event.links", "https://acme.example")], "to ask for one item use contains"),
        ([when("change.languages", "Klingon", "contains")], "is never that"),
        ([either("event.provider", "a"), either("event.provider", "b")], "none of the alternatives"),
    ],
)
def test_conditions_that_can_never_hold(conditions: list[ConditionSpec], message: str) -> None:
    (finding,) = found(prompt("checks", *conditions), code="never-holds")

    assert message in finding.message
    assert (finding.severity, finding.slug, finding.part[0]) == (Severity.ERROR, "checks", "when")


@pytest.mark.parametrize(
    "conditions",
    [
        [either("event.type", "push"), either("event.type", "issues")],
        [when("event.action", "opened", "not_equals"), when("event.action", "closed", "not_equals")],
        [when("change.risk", 3, "greater_than"), when("change.risk", 4, "less_than")],
        [when("event.title", "fix", "contains"), when("event.title", "tax", "contains")],
        [when("event.links", "a", "contains"), when("event.links", "b", "contains")],
        [when("event.type", "push"), either("event.type", "issues"), either("event.branch", "main")],
        [when("event.title", "^fix", "regex_match"), when("event.title", "x$", "regex_match")],
    ],
)
def test_conditions_that_may_hold_are_not_complained_about(conditions: list[ConditionSpec]) -> None:
    assert found(prompt("checks", *conditions), code="never-holds") == []


def test_only_the_conditions_that_exclude_each_other_are_named() -> None:
    conditions = [when("event.branch", "main"), when("event.type", "push"), when("event.type", "issues")]
    (finding,) = found(prompt("checks", *conditions), code="never-holds")

    assert "event.branch" not in finding.message
    assert finding.part == ("when", "event.type")


def test_an_alternative_that_can_never_hold_is_a_warning() -> None:
    conditions = [when("event.provider", "github"), either("event.provider", "slack"), either("event.branch", "main")]
    (finding,) = found(prompt("checks", *conditions), code="dead-alternative")

    assert finding.severity is Severity.WARNING
    assert finding.message.startswith("the alternative `event.provider equals 'slack'` can never hold: another cond")


@pytest.mark.parametrize(
    ("condition", "code", "message"),
    [
        (when("event.tpye", "push"), "unknown-field", "did you mean event.type?"),
        (when("slug", "acme"), "unknown-field", "did you mean project.slug?"),
        (when("event.title", "(", "regex_match"), "bad-regex", "is no regular expression of RE2"),
        (when("event.title", r"(a)\1", "regex_match"), "bad-regex", "is no regular expression of RE2"),
        (when("event.type", "push", "in"), "bad-expected", "in needs a list"),
        (when("event.type", "pul_request"), "unknown-event", "did you mean pull_request?"),
    ],
)
def test_conditions_that_ask_for_what_does_not_exist(condition: ConditionSpec, code: str, message: str) -> None:
    (finding,) = found(prompt("checks", condition), code=code)

    assert message in finding.message
    assert found(prompt("checks", condition), code="never-holds") == []


def test_an_action_that_the_event_never_has_is_a_warning() -> None:
    spec = prompt("triage", when("event.type", "issues"), when("event.action", ["open", "closed"], "in"))
    (finding,) = found(spec, code="unknown-event")

    assert finding.message.startswith("no action 'open' of issues is known; did you mean ")
    assert finding.part == ("when", "event.action")


def test_a_prompt_that_another_of_higher_priority_covers_is_shadowed() -> None:
    wide = prompt("wide", when("event.type", ["push", "issues"], "in"), priority=5)
    narrow = prompt("narrow", when("event.type", "push"), when("event.title", "fix tax", "contains"))
    (finding,) = found(wide, narrow, code="shadowed")

    assert (finding.slug, finding.related) == ("narrow", ("wide",))
    assert finding.message.startswith(
        "it is never selected: wide applies to everything that this prompt applies to, and has priority 5 over 0"
    )


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (when("event.title", "tax", "contains"), when("event.title", "taxes", "contains")),
        (when("event.title", "tax", "contains"), when("event.title", "taxes")),
        (when("event.title", "ta.es", "regex_match"), when("event.title", "taxes")),
        (when("event.title", "tax", "contains"), when("event.title", "^taxes", "regex_match")),
        (when("event.number", 5, "greater_than"), when("event.number", 7, "greater_than")),
        (when("event.number", [1, 2], "not_in"), when("event.number", 2, "greater_than")),
        (when("event.action", "closed", "not_equals"), when("event.action", "opened")),
        (when("event.type", ["push"], "not_in"), when("event.type", ["issues", "release"], "in")),
    ],
)
def test_what_one_condition_says_of_another(wide: ConditionSpec, narrow: ConditionSpec) -> None:
    first, second = prompt("first", wide, priority=1), prompt("second", narrow, priority=1)

    assert [one.slug for one in found(first, second, code="shadowed")] == ["second"]
    assert found(replace(first, priority=0), second, code="shadowed") == []


def test_a_condition_about_code_is_not_implied_by_having_been_left_open() -> None:
    either_way = [
        either("change.risk", 5, "less_than"),
        either("change.risk", 5, "less_than"),
        when("event.type", "push"),
    ]
    spec = prompt("risky", *either_way, either("change.risk", 4, "greater_than"), priority=5)

    # Where the change was not looked up neither alternative holds, and the other prompt answers.
    assert found(spec, prompt("checks"), code="shadowed") == []


def test_several_prompts_together_can_shadow_one() -> None:
    pushes = prompt("pushes", when("event.type", "push"), priority=1)
    issues = prompt("issues", when("event.type", ["issues", "label"], "in"), priority=2)
    both = prompt("both", when("event.type", ["push", "issues"], "in"))
    (finding,) = found(pushes, issues, both, code="shadowed")

    assert (finding.slug, set(finding.related)) == ("both", {"pushes", "issues"})


def test_prompts_of_one_priority_that_can_meet_are_in_conflict() -> None:
    bots = prompt("bots", when("event.type", "push"), when("event.from_bot", True))
    people = prompt("people", when("event.type", "push"), when("event.from_bot", False))
    main = prompt("main", when("event.type", "push"), when("event.branch", "main"))
    findings = found(bots, people, main, code="conflict")

    assert [(one.slug, one.related) for one in findings] == [("main", ("bots",)), ("people", ("main",))]
    assert "decided by their names" in findings[0].message


def test_of_very_many_conflicts_some_are_shown() -> None:
    specs = [
        prompt(f"p{n:03}", when("event.type", "push"), when("event.actor", f"u{n:03}", "contains")) for n in range(300)
    ]
    findings = found(*specs, code="conflict")

    assert len(findings) == 101
    assert [one.slug for one in findings if one.slug is None] == [None]


def test_prompts_that_say_the_same_are_told() -> None:
    spec = prompt("one")
    (finding,) = found(spec, replace(spec, slug="two"), code="duplicate")

    assert (finding.slug, finding.related) == ("two", ("one",))


def test_prompts_that_are_not_active_take_no_part_in_selection() -> None:
    live = [
        LivePrompt(UUID(int=number), 1, prompt(slug), status)
        for number, (slug, status) in enumerate([("a", PromptStatus.INACTIVE), ("b", PromptStatus.ACTIVE)])
    ]

    assert found(*live, code="shadowed") == []
    assert found(live[1], replace(live[0], status=PromptStatus.ACTIVE), code="shadowed") != []


def test_templates_are_checked_with_their_lines() -> None:
    template = "Look at {{ event.titel }}.\n{{ who }} {{ urgent }}\n{% include 'rules@production' %}"
    variables = {"urgent": VariableSpec(source="event.boot"), "spare": VariableSpec(default=1)}
    findings = lint([prompt("review", template=template, variables=variables)], is_whole=True)
    told = {(one.code, one.line): one.message for one in findings if one.severity is not Severity.INFO}

    assert told["unknown-field", 1] == "there is no field 'event.titel'; did you mean event.title?"
    assert told["undeclared-variable", 2] == "the variable 'who' is not declared; declare it under `variables`"
    assert told["unknown-include", 3] == "it includes 'rules@production', and there is no prompt 'rules'"
    assert "'event.boot', is no field that there is" in told["unknown-source", None]


def test_a_template_that_cannot_be_parsed_is_an_error() -> None:
    (finding,) = found(prompt("review", template="Hello\n{{ event.title"), code="template")

    assert (finding.severity, finding.line) == (Severity.ERROR, 2)


def test_prompts_that_include_each_other_are_told() -> None:
    one = prompt("one", template="{% include 'two' %}")
    two = prompt("two", when("event.type", "issues"), template="{% include 'one@production' %}")
    (first, second) = found(one, two, code="include-cycle")

    assert first.message == "it includes itself: one, two, one; leave one of these includes out"
    assert second.slug == "two"


def test_a_variable_that_only_an_included_prompt_uses_is_used() -> None:
    variables = {"tone": VariableSpec(default="kind")}
    review = prompt("review", template="{% include 'rules' %}", variables=variables)
    rules = prompt("rules", when("event.type", "issues"), template="Be {{ tone }}.", variables=variables)

    assert found(review, rules, code="unused-variable") == []
    assert found(replace(review, template="x"), rules, code="unused-variable")[0].slug == "review"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"limits": {"wall_seconds": 10**6}}, "limit"),
        ({"limits": {"wal_seconds": 60}}, "limit"),
        ({"limits": {"max_tokens": 1000}}, "unused-limit"),
        ({"outputs": {OutputType.COMMENT: OutputSpec()}}, "unused-output"),
        ({"executor_config": {}}, "executor-config"),
        ({"executor": Executor.LLM, "executor_config": {}}, "no-outputs"),
        (
            {
                "executor": Executor.LLM,
                "executor_config": {"model": "openai:x"},
                "outputs": {OutputType.COMMENT: OutputSpec(labels=("a",))},
            },
            "unused-output",
        ),
        ({"conditions": ()}, "no-conditions"),
    ],
)
def test_what_cannot_work_or_has_no_effect(changes: dict[str, Any], code: str) -> None:
    findings = lint([replace(prompt("checks"), **changes)], is_whole=False)

    assert [one.code for one in findings] == [code]


def test_an_executor_that_is_not_installed_here_is_a_warning() -> None:
    own = prompt("ask", executor=Executor("acme-bot"), executor_config={"effort": "high"}, outputs=COMMENTS)

    (finding,) = found(own, code="no-executor")

    assert finding.severity is Severity.WARNING
    assert "no executor named acme-bot is installed here; installed are: agent, command, http, llm, reply" in (
        finding.message
    )
    assert found(replace(own, executor=Executor.REPLY, executor_config={}), code="no-executor") == []


def test_a_hosted_agent_has_to_be_configured() -> None:
    spec = prompt("ask", executor=Executor.HTTP, executor_config={"agent": "acme"}, outputs=COMMENTS)

    assert found(spec, code="no-agent", settings=Settings(hosted_agents={})) != []
    assert found(spec, code="no-agent", settings=Settings(hosted_agents={"acme": "https://agents.example"})) == []


def test_a_model_has_to_be_configured_somewhere() -> None:
    spec = prompt("review", executor=Executor.LLM, executor_config={}, outputs={OutputType.COMMENT: OutputSpec()})

    assert found(spec, code="no-model", settings=Settings(llm_model=None)) != []
    assert found(spec, code="no-model", settings=Settings(llm_model="openai:gpt-5")) == []


def test_events_that_came_and_that_nothing_covers_are_told_by_their_number() -> None:
    seen = {("github", "push", None): 9, ("github", "issues", "opened"): 4, ("slack", "app_mention", None): 7}
    findings = found(prompt("checks"), code="uncovered", seen=seen)

    assert [one.where for one in findings] == ["slack app_mention", "github issues opened"]
    assert "of which 7 event(s) came lately" in findings[0].message


def test_without_events_the_known_ones_count() -> None:
    spec = prompt("triage", when("event.type", "issues"), when("event.action", "opened"))
    github, linear = found(spec, code="uncovered")

    assert (github.where, linear.where) == ("github", "linear")
    assert "issues (assigned, closed" in github.message
    assert found(prompt("all", when("event.type", "", "not_equals")), code="uncovered") == []
