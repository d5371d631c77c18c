"""The record that each run of a flow (a job such as `train`) leaves in the store: when it ran, how it ended, its rows.

Flows write the records, gateways export the newest as metrics, and `python -m flows runs` prints them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from pydantic import TypeAdapter

RUNS_KEPT = 100
"""Newest records of a flow in the store: three months of a nightly flow, 40 kB a flow."""

MEDIAN_OF = 5
"""Completed runs before the newest one that a median needs. A median of fewer says little."""

END_SECONDS = 60.0
"""Time after its limit at which a run without an end counts as crashed: Prefect reports the end by then."""

RUNNING, COMPLETED, FAILED, CRASHED, CANCELLED = "running", "completed", "failed", "crashed", "cancelled"


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What a run read and made; None where a flow has no such figure.

    quarantined: rows that were left out as damaged. quality: the metric recall@10 of the served model. bytes: of what
    was made. lifts: of experiments, by `experiment/arm`: the relative lift of the primary metric and its bounds.
    drift: of served slates, by `training/COLUMN` or `week/COLUMN`: the PSI (population stability index), the corrected
    p value, and 1 for an alarm. skew: by feature, the share of logged values that differ from recomputed ones.
    """

    rows_in: int | None = None
    rows_out: int | None = None
    quarantined: int | None = None
    quality: float | None = None
    generation: str | None = None
    bytes: int | None = None
    lifts: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    drift: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    skew: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run. deployment: of Prefect, or `command`. start, end: unix seconds. limit: seconds that Prefect allows."""

    flow: str
    run: str
    deployment: str
    start: float
    limit: float
    state: str = RUNNING
    end: float | None = None
    figures: RunFigures = field(default_factory=RunFigures)

    def state_at(self, now: float) -> str:
        """The state; `crashed` for a run that was killed, so that no end was recorded within its limit."""
        killed = self.state == RUNNING and now > self.start + self.limit + END_SECONDS
        return CRASHED if killed else self.state

    def seconds(self, now: float) -> float:
        """The time that the run took, or has taken so far."""
        return (now if self.end is None else self.end) - self.start


RECORD = TypeAdapter(RunRecord)


@dataclass(frozen=True, slots=True)
class FlowSummary:
    """The newest figures of a flow beside the medians of its completed runs before. Each by name: seconds, rows_in,
    rows_out, quality. last_success: when the newest completed run ended, unix seconds; None without one.
    """

    last_success: float | None
    last: dict[str, float]
    median: dict[str, float]


def summary(records: Sequence[RunRecord], now: float) -> FlowSummary:
    """Summarize the records of a flow, newest first. A run that still runs counts for the seconds alone."""
    completed = [each for each in records if each.state == COMPLETED]
    timed = completed
    if records and records[0].state_at(now) == RUNNING:
        timed = [records[0], *completed]
    values = {name: [getattr(each.figures, name) for each in completed] for name in ("rows_in", "rows_out", "quality")}
    values["seconds"] = [each.seconds(now) for each in timed]
    known = {name: [value for value in found if value is not None] for name, found in values.items()}
    return FlowSummary(
        max((each.end or 0.0 for each in completed), default=None),
        {name: found[0] for name, found in known.items() if found},
        {name: median(found[1:]) for name, found in known.items() if len(found) > MEDIAN_OF},
    )
