"""What answers look like: a response model for each table, made from its columns."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import BaseModel as Shape
from pydantic import PlainSerializer, WithJsonSchema, create_model
from sqlalchemy import ColumnElement

from contexten_core.analytics.models import AnalyticsEventModel, AnalyticsMetricModel, AnalyticsModel
from contexten_core.codebase.models import CodebaseAnalysisModel, CodebaseMetadataModel, CodebaseModel
from contexten_core.db import BaseModel, JSONValue, TZDateTime
from contexten_core.errors.models import ErrorModel
from contexten_core.learning.models import LearningFeedbackModel, LearningModel, LearningPatternModel
from contexten_core.projects.models import ProjectConfigModel, ProjectModel, RepositoryModel
from contexten_core.prompts.models import (
    PromptChangeModel,
    PromptConditionModel,
    PromptLabelModel,
    PromptModel,
    PromptTemplateModel,
    PromptVersionModel,
)
from contexten_core.security.models import AccessTokenModel
from contexten_core.tasks.models import TaskDependencyModel, TaskExecutionModel, TaskModel

# As everywhere else: `to_dict()`, events, the command line.
Moment = Annotated[
    datetime, PlainSerializer(datetime.isoformat), WithJsonSchema({"type": "string", "format": "date-time"})
]


def shape_of(model: type[BaseModel], *, without: Collection[str] = ()) -> type[Shape]:
    """Return the response model of a table's `to_dict()`, but for some columns: `Task` for `TaskModel`."""
    hints = get_type_hints(model)
    fields: dict[str, Any] = {
        column.name: (_type_of(column, get_args(hints[attribute.key])[0]), ...)
        for attribute in model.__mapper__.column_attrs
        for column in attribute.columns
        if column.name not in without
    }
    return create_model(model.__name__.removesuffix("Model"), __doc__=model.__doc__, __module__=__name__, **fields)


def _type_of(column: ColumnElement[Any], hint: Any) -> Any:
    if isinstance(column.type, JSONValue):
        return Any
    if isinstance(column.type, TZDateTime):
        return Moment | None if hint == datetime | None else Moment
    return hint


def list_of(item: type[Shape]) -> type[Shape]:
    """Return the response model of a list in pages; `next_cursor` is null on the last."""
    fields: dict[str, Any] = {
        "items": (list[item], ...),  # type: ignore[valid-type] # a type that is made at run time
        "next_cursor": (str | None, ...),
    }
    return create_model(f"{item.__name__}List", __module__=__name__, **fields)


Task = shape_of(TaskModel)
TaskExecution = shape_of(TaskExecutionModel, without={"logs"})
TaskExecutionWithLog = create_model(
    "TaskExecutionWithLog", __base__=TaskExecution, __module__=__name__, logs=(str, ...)
)
TaskDependency = shape_of(TaskDependencyModel)
Project = shape_of(ProjectModel)
ProjectConfig = shape_of(ProjectConfigModel)
Repository = shape_of(RepositoryModel)
Prompt = shape_of(PromptModel)
PromptTemplate = shape_of(PromptTemplateModel)
PromptCondition = shape_of(PromptConditionModel)
PromptVersion = shape_of(PromptVersionModel)
PromptLabel = shape_of(PromptLabelModel)
PromptChange = shape_of(PromptChangeModel)
Codebase = shape_of(CodebaseModel)
CodebaseAnalysis = shape_of(CodebaseAnalysisModel)
CodebaseMetadata = shape_of(CodebaseMetadataModel)
Analytics = shape_of(AnalyticsModel)
AnalyticsEvent = shape_of(AnalyticsEventModel)
AnalyticsMetric = shape_of(AnalyticsMetricModel)
Learning = shape_of(LearningModel)
LearningPattern = shape_of(LearningPatternModel)
LearningFeedback = shape_of(LearningFeedbackModel)
Error = shape_of(ErrorModel)
AccessToken = shape_of(AccessTokenModel, without={"digest"})
NewAccessToken = create_model("NewAccessToken", __base__=AccessToken, __module__=__name__, token=(str, ...))
