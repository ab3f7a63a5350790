"""What may be given of what was learned, and of what people say about it."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from contexten_core.inputs import JSONObject, Line, LongText, Name, RowInput, absent
from contexten_core.learning.models import FeedbackType, LearningStatus, LearningType

_Share = Annotated[float, Field(ge=0, le=1)]
_Rating = Annotated[float, Field(ge=0, le=5)]
_Text = Annotated[LongText, Field(min_length=1)]


class LearningCreate(RowInput):
    """Something that was learned. Scores go from 0 to 1."""

    learning_type: LearningType
    source_component: Name
    name: Name | None = None
    status: LearningStatus = LearningStatus.PENDING
    data: JSONObject = Field(default_factory=dict)
    context: JSONObject | None = None
    confidence_score: _Share | None = None
    impact_score: _Share | None = None
    validation_score: _Share | None = None
    source_operation: Line | None = None
    source_data: JSONObject | None = None
    application_result: JSONObject | None = None
    task_id: UUID | None = None
    project_id: UUID | None = None


class LearningUpdate(RowInput):
    """Changes of something that was learned; what is left out stays."""

    name: Name = Field(default_factory=absent)
    status: LearningStatus = Field(default_factory=absent)
    data: JSONObject = Field(default_factory=absent)
    context: JSONObject | None = None
    confidence_score: _Share | None = None
    impact_score: _Share | None = None
    validation_score: _Share | None = None
    application_result: JSONObject | None = None


class LearningFeedbackCreate(RowInput):
    """What somebody says about something that was learned; a rating goes from 0 to 5."""

    learning_id: UUID
    feedback_type: FeedbackType
    feedback_content: _Text
    source_type: Name
    name: Name | None = None
    source_id: Line | None = None
    context_data: JSONObject | None = None
    related_task_id: UUID | None = None
    rating: _Rating | None = None
    impact_assessment: JSONObject | None = None


class LearningFeedbackUpdate(RowInput):
    """What was done about feedback; what is left out stays."""

    name: Name = Field(default_factory=absent)
    is_processed: bool = Field(default_factory=absent)
    processing_result: JSONObject | None = None
    rating: _Rating | None = None
    impact_assessment: JSONObject | None = None
    action_taken: LongText | None = None
    action_result: JSONObject | None = None
