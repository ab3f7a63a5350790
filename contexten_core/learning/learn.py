"""What the outcomes so far have in common: clusters of failures, and how each prompt does."""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from contexten_core.db import utc_now
from contexten_core.learning import store
from contexten_core.learning.cluster import Clustering, Outcome, cluster_outcomes
from contexten_core.learning.models import LearningModel, LearningStatus, LearningType
from contexten_core.runtime import Runtime

_KEPT_MEMBERS = 200
_REPORTED = 20


@dataclass(frozen=True, slots=True)
class LearningResult:
    """One pass of the learning flow. Its clusters and its table of prompts are rows; `report` is for people."""

    outcomes: int
    clusters: int
    prompts: int
    report: str


async def learn(runtime: Runtime, *, limit: int, flow_run_id: UUID) -> LearningResult:
    """Cluster the newest outcomes, rate each prompt by its own, and store both as learning rows of this flow run.

    Nothing is deleted: passes can be compared. Clustering runs in a thread of its own.
    """
    async with runtime.database.reading() as session:
        rows = await store.newest_outcomes(session, limit=limit)
    clustering = await asyncio.to_thread(cluster_outcomes, [_outcome(row) for row in rows], limit=limit)
    result = LearningResult(len(rows), len(clustering.clusters), len(clustering.prompts), _report(clustering))
    source = {"flow_run_id": str(flow_run_id), "outcomes": len(rows), "at": utc_now().isoformat()}
    async with runtime.database.transaction() as session:
        for cluster in clustering.clusters:
            await store.add(
                session,
                name=cluster.label,
                learning_type=LearningType.PATTERN_RECOGNITION,
                status=LearningStatus.ANALYZED,
                data={
                    "label": cluster.label,
                    "kind": cluster.kind,
                    "terms": list(cluster.terms),
                    "size": cluster.size,
                    "members": list(cluster.member_ids[-_KEPT_MEMBERS:]),
                    "first_seen": cluster.first_seen.isoformat(),
                    "last_seen": cluster.last_seen.isoformat(),
                },
                context={"projects": list(cluster.projects), "prompts": list(cluster.prompts)},
                confidence_score=cluster.cohesion,
                impact_score=cluster.size / len(rows),
                source_component="learning",
                source_operation="cluster_outcomes",
                source_data=source,
            )
        for prompt in clustering.prompts:
            await store.add(
                session,
                name=prompt.prompt,
                learning_type=LearningType.PERFORMANCE_OPTIMIZATION,
                status=LearningStatus.ANALYZED,
                data=asdict(prompt),
                confidence_score=prompt.success_low,
                source_component="learning",
                source_operation="rate_prompts",
                source_data=source,
            )
        await store.add(
            session,
            name=f"{result.outcomes} outcomes, {result.clusters} clusters",
            learning_type=LearningType.SYSTEM_IMPROVEMENT,
            status=LearningStatus.ANALYZED,
            data=asdict(result),
            source_component="learning",
            source_operation="learn",
            source_data=source,
        )
    return result


def _outcome(row: LearningModel) -> Outcome:
    data: dict[str, Any] = row.data
    context: dict[str, Any] = row.context or {}
    return Outcome(
        id=str(row.id),
        text=str(data.get("normalised") or ""),
        prompt=str(context.get("prompt") or ""),
        project=str(context.get("project") or ""),
        success=data.get("success") is True,
        duration_seconds=float(data.get("duration_seconds") or 0.0),
        occurred_at=row.created_at,
        kind=str(data.get("kind") or ""),
    )


def _report(clustering: Clustering) -> str:
    """Write the pass as Markdown. Labels come from logs, so they are put where Markdown means nothing."""
    lines = [f"{clustering.considered} outcomes were looked at.", "", "## Failures that belong together", ""]
    if not clustering.clusters:
        lines.append("None so far.")
    for cluster in clustering.clusters[:_REPORTED]:
        where = ", ".join(cluster.projects)
        lines.append(f"- {cluster.size} × {_code(cluster.label)} in {where} (cohesion {cluster.cohesion:.2f})")
    lines += [
        "",
        "## Prompts",
        "",
        "| prompt | runs | success | 95 % interval | median | p95 |",
        "|---|---|---|---|---|---|",
    ]
    for prompt in clustering.prompts:
        interval = f"{prompt.success_low:.0%} to {prompt.success_high:.0%}"
        lines.append(
            f"| {prompt.prompt} | {prompt.runs} | {prompt.success_rate:.0%} | {interval} "
            f"| {_seconds(prompt.median_seconds)} | {_seconds(prompt.p95_seconds)} |"
        )
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"
