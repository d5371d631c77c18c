"""What the page /operations shows of the store: generations, runs of flows, experiments and drift.

Flows are jobs such as `train`; drift is a change of served data since the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recsys.experiments.document import Experiment
from recsys.generation.stored_generations import StoredGeneration
from recsys.store.run_record import COMPLETED, RunRecord, summary

MOST_COLUMNS, MOST_FEATURES = 50, 10
"""Columns with drift, and features with skew, that the page lists."""


@dataclass(frozen=True, slots=True)
class FlowState:
    """The last run of a flow. began, last_success: unix seconds. seconds: of the last run. usual_seconds: the median.

    promised: the longest time between two successes by slo.toml. late: whether that time has passed.
    """

    flow: str
    deployment: str
    state: str
    began: float
    seconds: float
    usual_seconds: float | None
    rows: int | None
    last_success: float | None
    promised: float | None
    late: bool


@dataclass(frozen=True, slots=True)
class ExperimentState:
    """An experiment. shares: of its users, by arm. halted: the reason by arm. changed, change: of the last change."""

    name: str
    status: str
    shares: dict[str, float]
    halted: dict[str, str]
    changed: float | None
    change: str


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """The drift of a column of served data. against: `training` or `week`. psi: the population stability index.

    p: the corrected p value.
    """

    column: str
    against: str
    psi: float
    p: float
    alarm: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """What the last run of the flow `drift` found, at a time, unix seconds. columns: those with an alarm first.

    skew: features whose logged values differ from recomputed ones, the largest share first.
    """

    at: float
    columns: list[ColumnDrift]
    skew: dict[str, float]


@dataclass(frozen=True, slots=True)
class StoredState:
    """What the store has. generations, experiments: the newest first. flows: those that have run.

    drift: None before the first run.
    """

    generations: list[StoredGeneration]
    flows: list[FlowState]
    experiments: list[ExperimentState]
    drift: Drift | None


def flow_state(records: Sequence[RunRecord], promised: float | None, now: float) -> FlowState:
    """The state of a flow by the records of its runs, newest first."""
    last, found = records[0], summary(records, now)
    late = None not in (promised, found.last_success) and now - (found.last_success or now) > (promised or 0.0)
    return FlowState(
        last.flow,
        last.deployment,
        last.state_at(now),
        last.start,
        last.seconds(now),
        found.median.get("seconds"),
        next((each.figures.rows_out for each in records if each.state == COMPLETED), None),
        found.last_success,
        promised,
        late,
    )


def experiment_state(experiment: Experiment, halts: dict[str, str]) -> ExperimentState:
    """The state of an experiment. halts: by gateways, of its arms."""
    last = experiment.changes[-1] if experiment.changes else None
    return ExperimentState(
        experiment.name,
        experiment.status,
        experiment.shares,
        {**halts, **experiment.halted},
        last.at if last else None,
        last.what if last else "",
    )


def drift_of(records: Sequence[RunRecord]) -> Drift | None:
    """The drift by the newest completed run. records: of the flow, newest first."""
    last = next((each for each in records if each.state == COMPLETED), None)
    if last is None:
        return None
    columns = [
        ColumnDrift(name.partition("/")[2], name.partition("/")[0], psi, p, bool(alarm))
        for name, (psi, p, alarm) in last.figures.drift.items()
    ]
    columns.sort(key=lambda each: (not each.alarm, -each.psi))
    skew = sorted(((name, share) for name, share in last.figures.skew.items() if share), key=lambda each: -each[1])
    return Drift(last.end or last.start, columns[:MOST_COLUMNS], dict(skew[:MOST_FEATURES]))
