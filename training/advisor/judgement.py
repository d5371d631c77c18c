"""Choose the mode of one surface: the cheapest mode that is fresh enough and in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from training.advisor.checklist import Mode
from training.advisor.cost import CostProfile, ModeCost, Workload
from training.advisor.curves import Loss, Measurement, What, freshest, loss_at

NEAR = 1.1
"""Modes that cost up to so many times the cheapest count as equally cheap: the profile is no more exact than that."""

CURVES: dict[Mode, What] = {Mode.BATCH: "list", Mode.MICRO_BATCH: "list", Mode.HYBRID: "list_ranked"}
"""The curve that has the loss of each mode. The mode realtime loses nothing: the others are compared with it."""


class Freshness(StrEnum):
    """Whether the answers of a mode are fresh enough. unknown: no curve reaches the time between two runs."""

    ENOUGH = "enough"
    STALE = "stale"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Judgement:
    """One mode for one surface. period_s: seconds between two makings of a list. loss: at this period, None if unknown.

    p99_ms: measured near the peak rate, None if not measured. in_time: whether it is within the surface's deadline.
    """

    mode: Mode
    period_s: float
    freshness: Freshness
    loss: Loss | None
    p99_ms: float | None
    in_time: bool
    cost: ModeCost | None


def period(mode: Mode, workload: Workload) -> float:
    """Seconds between two makings of a user's list; 0 where no list is needed."""
    periods = {Mode.MICRO_BATCH: workload.refresh_every, Mode.REALTIME: 0.0}
    return periods.get(mode, workload.batch_every)


@dataclass(frozen=True)
class Case:
    """What the judgement of a surface needs. deadline_ms: None without one. costs: None without a profile.

    waits: whether somebody waits for an answer, unlike for an e-mail.
    """

    measurement: Measurement
    profile: CostProfile | None
    workload: Workload
    segment: str
    tolerance: float
    deadline_ms: float | None
    costs: Mapping[Mode, ModeCost] | None
    waits: bool = True

    def judgements(self) -> dict[Mode, Judgement]:
        """The judgement of every mode. Where no page waits for an answer, no mode works at a request."""
        return {mode: self.judge(mode) for mode in (Mode if self.waits else (Mode.BATCH, Mode.MICRO_BATCH))}

    def judge(self, mode: Mode) -> Judgement:
        """Freshness, latency and cost of a mode."""
        each = period(mode, self.workload)
        loss, freshness = self._freshness(mode, each)
        p99 = self.profile.p99_ms(mode.served, self.workload.peak) if self.profile else None
        in_time = p99 is None or self.deadline_ms is None or p99 <= self.deadline_ms
        return Judgement(mode, each, freshness, loss, p99, in_time, self.costs[mode] if self.costs else None)

    def _freshness(self, mode: Mode, each: float) -> tuple[Loss | None, Freshness]:
        if mode is Mode.REALTIME:
            return Loss(0.0, 0.0, 0.0), Freshness.ENOUGH
        curve = self.measurement.curve(CURVES[mode], self.segment)
        loss, limit = loss_at(curve, each), freshest(curve, self.tolerance)
        if loss is None or limit is None:
            return None, Freshness.UNKNOWN
        return loss, Freshness.ENOUGH if loss.age_s <= limit else Freshness.STALE


def allowed(judgements: Mapping[Mode, Judgement], preferred: Mode | None) -> list[Mode]:
    """The modes that are fresh enough and in time. Where nothing was measured, the checklist's mode is fresh enough."""
    return [
        mode
        for mode, judged in judgements.items()
        if judged.in_time
        and (judged.freshness is Freshness.ENOUGH or (judged.freshness is Freshness.UNKNOWN and mode is preferred))
    ]


def choose(judgements: Mapping[Mode, Judgement], preferred: Mode | None) -> Mode:
    """The cheapest allowed mode; among equally cheap ones the checklist's, else the one with the least work a request.

    If no mode is allowed, the least loss of those in time. If none is in time, batch: it has the least work a request.
    """
    modes = allowed(judgements, preferred)
    if not modes:
        in_time = [judged for judged in judgements.values() if judged.in_time]
        return min(in_time, key=_loss_share).mode if in_time else Mode.BATCH
    near = cheapest(judgements, modes)
    return preferred if preferred in near else near[0]


def cheapest(judgements: Mapping[Mode, Judgement], modes: list[Mode]) -> list[Mode]:
    """The modes that cost about the least, all of them without costs."""
    money = {mode: cost.money for mode in modes if (cost := judgements[mode].cost)}
    return [mode for mode, each in money.items() if each <= NEAR * min(money.values())] or modes


def _loss_share(judged: Judgement) -> float:
    return judged.loss.share if judged.loss else float("inf")
