"""What an executor is told: the selected prompt's texts for this event, and the code that it should see."""

from dataclasses import dataclass

from contexten_core.codebase.event_context import context_for
from contexten_core.codebase.examine import CodebaseSummary
from contexten_core.errors import ConflictError, GitError, NotFoundError
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import StepRecord
from contexten_core.projects.resolve import Target
from contexten_core.prompts.code_fields import code_fields
from contexten_core.prompts.fields import CHANGE, CODE, known_fields
from contexten_core.prompts.select import Choice
from contexten_core.prompts.spec import PromptSpec
from contexten_core.prompts.templates.instruction import fill_in, prepare


@dataclass(frozen=True, slots=True)
class Told:
    """The rendered instruction.

    Attributes:
        template: the name of the template that was taken; None for the prompt's own text.
    """

    text: str
    system: str | None = None
    template: str | None = None


async def instruct(
    record: StepRecord, event: NormalisedEvent, target: Target, choice: Choice, code: CodebaseSummary
) -> Told:
    """Render the selected prompt for an event; what it asks about the code is looked up.

    Raises:
        TemplateError: a text, an include or a value is not as it has to be.
    """
    spec = PromptSpec(
        slug=choice.slug,
        name=choice.slug,
        template=choice.instruction,
        system_prompt=choice.system_prompt,
        variables=choice.variables,
        templates=choice.templates,
    )
    runtime = record.runtime
    async with runtime.database.reading() as session:
        instruction = await prepare(session, spec, language=code.primary_language, context_type=event.type)
    roots = {path.partition(".")[0] for path in instruction.paths}
    found = await code_fields(
        runtime, event_id=record.run.event_id, event=event, target=target, wanted=roots & {CODE, CHANGE}
    )
    fields = known_fields(event, target, code=found.code, change=found.change)
    rendered = await fill_in(runtime.renderer, instruction, fields)
    return Told(rendered.text, rendered.system_text, rendered.template)


async def code_shown(record: StepRecord, *, budget_tokens: int) -> str:
    """Return the code that an executor should see for the event, empty where there is none to show."""
    runtime = record.runtime
    try:
        context = await context_for(
            runtime.database, runtime.settings, runtime.mirrors, record.run.event_id, budget_tokens=budget_tokens
        )
    except (ConflictError, NotFoundError):
        return ""
    except GitError as error:
        if error.transient:
            raise
        return ""
    return context.as_text()
