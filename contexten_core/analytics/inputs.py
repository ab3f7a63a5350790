"""What may be recorded of what happened and what was measured. Such records are not changed afterwards."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from contexten_core.analytics.models import AnalyticsEventType, MetricType
from contexten_core.inputs import Count, JSONObject, Line, LongText, Moment, Name, RowInput

_Amount = Annotated[float, Field(ge=0, le=1e15)]


class AnalyticsCreate(RowInput):
    """One thing that happened. Without a session it is one of its own."""

    event_type: AnalyticsEventType
    component: Name
    operation: Name
    success: bool
    name: Name | None = None
    session_id: Annotated[Line, Field(min_length=1)] | None = None
    event_data: JSONObject = Field(default_factory=dict)
    context: JSONObject | None = None
    duration_ms: _Amount | None = None
    memory_usage_mb: _Amount | None = None
    cpu_usage_percent: _Amount | None = None
    error_code: Line | None = None
    error_message: LongText | None = None
    user_id: Line | None = None
    environment: Line | None = None
    version: Line | None = None
    task_id: UUID | None = None
    project_id: UUID | None = None


class AnalyticsEventCreate(RowInput):
    """Something that was done, as part of one analytics row; at this moment when no time is given."""

    analytics_id: UUID
    event_name: Name
    event_category: Name
    event_action: Name
    name: Name | None = None
    properties: JSONObject = Field(default_factory=dict)
    timestamp: Moment | None = None
    duration_ms: _Amount | None = None
    page_url: Line | None = None
    referrer: Line | None = None
    user_agent: Line | None = None
    custom_dimensions: JSONObject | None = None


class AnalyticsMetricCreate(RowInput):
    """What was measured, as part of one analytics row; at this moment when no time is given."""

    analytics_id: UUID
    metric_name: Name
    metric_type: MetricType
    value: float
    name: Name | None = None
    unit: Line | None = None
    labels: JSONObject | None = None
    dimensions: JSONObject | None = None
    min_value: float | None = None
    max_value: float | None = None
    avg_value: float | None = None
    percentile_95: float | None = None
    percentile_99: float | None = None
    sample_count: Count | None = None
    timestamp: Moment | None = None
    collection_interval_seconds: Annotated[Count, Field(ge=1)] | None = None
    operation: Line = ""
    source: Line = ""
