"""Every table, imported so that `Base.metadata` is whole, with the enums of their columns."""

from contexten_core.analytics.models import (
    AnalyticsEventModel,
    AnalyticsEventType,
    AnalyticsMetricModel,
    AnalyticsModel,
    MetricType,
)
from contexten_core.codebase.models import (
    AnalysisType,
    CodebaseAnalysisModel,
    CodebaseMetadataModel,
    CodebaseModel,
    CodebaseSnapshotModel,
    CodebaseStatus,
    FileFactsModel,
)
from contexten_core.db.base import Base
from contexten_core.errors.models import ErrorCountModel, ErrorModel
from contexten_core.events.models import (
    EventHandlerModel,
    EventModel,
    EventPayloadModel,
    EventPriority,
    EventProvider,
    EventStatus,
    OutboxModel,
    RedeliveryModel,
    RefusalModel,
    RunModel,
)
from contexten_core.learning.models import (
    FeedbackType,
    LearningFeedbackModel,
    LearningModel,
    LearningPatternModel,
    LearningStatus,
    LearningType,
    PatternType,
)
from contexten_core.projects.models import (
    ProjectConfigModel,
    ProjectModel,
    ProjectStatus,
    RepositoryModel,
    RepositoryProvider,
)
from contexten_core.prompts.models import (
    ConditionOperator,
    PromptConditionModel,
    PromptModel,
    PromptStatus,
    PromptTemplateModel,
    PromptType,
)
from contexten_core.security.models import AccessTokenModel
from contexten_core.tasks.models import (
    TaskDependencyModel,
    TaskExecutionModel,
    TaskLogChunkModel,
    TaskModel,
    TaskPriority,
    TaskStatus,
    TaskType,
)

__all__ = [
    "AccessTokenModel",
    "AnalysisType",
    "AnalyticsEventModel",
    "AnalyticsEventType",
    "AnalyticsMetricModel",
    "AnalyticsModel",
    "CodebaseAnalysisModel",
    "CodebaseMetadataModel",
    "CodebaseModel",
    "CodebaseSnapshotModel",
    "CodebaseStatus",
    "ConditionOperator",
    "ErrorCountModel",
    "ErrorModel",
    "EventHandlerModel",
    "EventModel",
    "EventPayloadModel",
    "EventPriority",
    "EventProvider",
    "EventStatus",
    "FeedbackType",
    "FileFactsModel",
    "LearningFeedbackModel",
    "LearningModel",
    "LearningPatternModel",
    "LearningStatus",
    "LearningType",
    "MetricType",
    "OutboxModel",
    "PatternType",
    "ProjectConfigModel",
    "ProjectModel",
    "ProjectStatus",
    "PromptConditionModel",
    "PromptModel",
    "PromptStatus",
    "PromptTemplateModel",
    "PromptType",
    "RedeliveryModel",
    "RefusalModel",
    "RepositoryModel",
    "RepositoryProvider",
    "RunModel",
    "TaskDependencyModel",
    "TaskExecutionModel",
    "TaskLogChunkModel",
    "TaskModel",
    "TaskPriority",
    "TaskStatus",
    "TaskType",
    "metadata",
]

metadata = Base.metadata
