"""Why a surface has its mode, in sentences, and what would change it: traffic, users, deadline, runs of the flows and
the accepted loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq

from recsys.surfaces import shown_duration
from training.advisor.checklist import Checklist, Mode
from training.advisor.cost import CostProfile, Workload, cost_of
from training.advisor.curves import SEGMENTS, Loss, freshest, loss_at
from training.advisor.judgement import CURVES, Case, Freshness, Judgement, allowed, cheapest

RATES = np.geomspace(0.01, 100_000, 141)
"""Slates a second at which costs are compared: 20 a decade."""

USERS = np.geomspace(100, 1e9, 141)


@dataclass(frozen=True)
class Threshold:
    """A change of the advice. kind: traffic, users, tolerance, period or deadline, with the value at which it changes.

    mode: the mode from there on, or the mode that becomes possible.
    """

    kind: str
    value: float
    mode: Mode
    sentence: str


def thresholds(case: Case, share: float, judgements: Mapping[Mode, Judgement], modes: list[Mode]) -> list[Threshold]:
    """All changes. share: of the slates. modes: the allowed ones."""
    found = [*_tolerances(case, judgements), *_periods(case, judgements), *_deadlines(case, judgements)]
    if case.profile and len(modes) > 1:
        found += _crossings(case.profile, case.workload, share, modes)
    return found


def _crossings(profile: CostProfile, workload: Workload, share: float, modes: list[Mode]) -> Iterator[Threshold]:
    """Where another of the modes becomes the cheapest, by traffic and by users."""

    def by_rate(mode: Mode, rate: float) -> float:
        return cost_of(mode, profile, workload.model_copy(update={"slates": rate}), share).money

    def by_users(mode: Mode, users: float) -> float:
        return cost_of(mode, profile, workload.model_copy(update={"users": users}), share).money

    for value, before, after in _changes(by_rate, modes, RATES):
        sentence = f"Above {about(value)} slates a second in all (now {shown(workload.slates)})"
        yield Threshold("traffic", value, after, f"{sentence} {after} is cheaper than {before}.")
    now = workload.users or profile.memory.users
    for value, before, after in _changes(by_users, modes, USERS):
        sentence = f"With more than {about(value)} users (now {shown(now)})"
        yield Threshold("users", value, after, f"{sentence} {after} is cheaper than {before}.")


def _changes(
    money: Callable[[Mode, float], float], modes: list[Mode], grid: np.ndarray
) -> Iterator[tuple[float, Mode, Mode]]:
    """The values between the ends of a grid at which another mode becomes the cheapest, with both modes."""
    best = [min(modes, key=lambda mode, at=at: money(mode, at)) for at in grid.tolist()]  # type: ignore[misc]
    for (low, before), (high, after) in pairwise(zip(grid.tolist(), best, strict=True)):
        if before is not after:
            difference = [money(before, at) - money(after, at) for at in (low, high)]
            at = low if difference[0] == 0 else brentq(lambda x: money(before, x) - money(after, x), low, high)  # noqa: B023
            yield at, before, after


def _tolerances(case: Case, judgements: Mapping[Mode, Judgement]) -> Iterator[Threshold]:
    """The accepted loss from which a mode is fresh enough, or below which it no longer is."""
    for mode, judged in judgements.items():
        if judged.loss is None or mode is Mode.REALTIME:
            continue
        share, now = judged.loss.share, f"(now {percent(case.tolerance)})"
        if judged.freshness is Freshness.STALE:
            sentence = f"If you accept to lose {percent(share)} of Recall@10 {now}, {mode} is fresh enough."
            yield Threshold("tolerance", share, mode, sentence)
        elif judged.loss.exceeds(0.0):
            sentence = f"If you accept to lose less than {percent(share)} of Recall@10 {now}, {mode} is too stale."
            yield Threshold("tolerance", share, mode, sentence)


def _periods(case: Case, judgements: Mapping[Mode, Judgement]) -> Iterator[Threshold]:
    """How often lists would have to be made for a mode that is too stale."""
    for mode, judged in judgements.items():
        if mode is Mode.MICRO_BATCH or judged.freshness is not Freshness.STALE:
            continue
        age = freshest(case.measurement.curve(CURVES[mode], case.segment), case.tolerance)
        if age is not None and age > 0:
            now = shown_duration(judged.period_s)
            sentence = f"With lists that are made every {shown_duration(age)} (now {now}), {mode} is fresh enough."
            yield Threshold("period", age, mode, sentence)


def _deadlines(case: Case, judgements: Mapping[Mode, Judgement]) -> Iterator[Threshold]:
    """The deadline from which a mode is in time."""
    for mode, judged in judgements.items():
        if not judged.in_time and judged.p99_ms:
            now = shown(case.deadline_ms or 0)
            sentence = f"With a deadline of {shown(judged.p99_ms)} ms (now {now}), {mode} is in time at the peak."
            yield Threshold("deadline", judged.p99_ms, mode, sentence)


def reasons(case: Case, judgements: Mapping[Mode, Judgement], chosen: Mode, checked: Checklist) -> list[str]:
    """All sentences. checked: the checklist with the answers of the surface."""
    sentences = [
        sentence for mode, each in judgements.items() if mode is not chosen for sentence in _against(case, each)
    ]
    if not case.waits:
        sentences.append("hybrid and realtime work at a request, and no page waits for an answer.")
    sentences += [*_of_chosen(judgements[chosen]), _choice(judgements, chosen, checked.mode)]
    if checked.mode is not None:
        sentences.append(checked.sentence + ("" if checked.mode is chosen else " The measurement counts more."))
    return [*sentences, *_segments(case, judgements[chosen])]


def _against(case: Case, judged: Judgement) -> Iterator[str]:
    """What excludes a mode."""
    made = f"a list that is made every {shown_duration(judged.period_s)}"
    if judged.freshness is Freshness.STALE and judged.loss:
        yield f"{judged.mode}: {made} loses {_shown(judged)}; {percent(case.tolerance)} are accepted."
    elif judged.freshness is Freshness.UNKNOWN:
        yield f"{judged.mode}: the loss of {made} was not measured."
    if not judged.in_time and judged.p99_ms:
        late = (
            f"99 % of the answers take up to {shown(judged.p99_ms)} ms at {shown(case.workload.peak)} slates a second"
        )
        yield f"{judged.mode}: {late}, and the deadline is {shown(case.deadline_ms or 0)} ms."


def _of_chosen(judged: Judgement) -> Iterator[str]:
    """The loss of the chosen mode."""
    if judged.freshness is Freshness.UNKNOWN:
        yield f"{judged.mode}: its loss was not measured."
    elif judged.loss and judged.mode is not Mode.REALTIME:
        made = f"a list that is made every {shown_duration(judged.period_s)}"
        yield f"{judged.mode}: {made} loses {_shown(judged)}."


def _choice(judgements: Mapping[Mode, Judgement], chosen: Mode, preferred: Mode | None) -> str:
    """What decides between the modes that nothing excludes."""
    modes = allowed(judgements, preferred)
    if not modes:
        return f"No mode is fresh enough and in time; {chosen} comes nearest."
    if len(modes) == 1:
        return f"Only {chosen} is fresh enough and in time."
    near, names = cheapest(judgements, modes), ", ".join(modes)
    if len(near) == 1:
        return f"Of {names}, {chosen} is the cheapest."
    equal = f"{', '.join(near)} cost about the same" if judgements[chosen].cost else "none has a measured cost"
    role = "the checklist's" if chosen is preferred else "the one with the least work at a request"
    return f"Of {names}, {equal}; {chosen} is {role}."


def _segments(case: Case, judged: Judgement) -> Iterator[str]:
    """Other segments that lose more than what is accepted."""
    if judged.mode is Mode.REALTIME:
        return
    for segment, name in SEGMENTS.items():
        loss = loss_at(case.measurement.curve(CURVES[judged.mode], segment), judged.period_s)
        if loss and segment != case.segment and loss.exceeds(case.tolerance):
            yield f"{name.capitalize()} lose {_share(loss)}."


def _shown(judged: Judgement) -> str:
    """The loss of a mode. Between two measured ages it is that of the greater one, a bound."""
    assert judged.loss is not None
    at = judged.loss.age_s
    bound = f", as one that is made every {shown_duration(at)}" if at > judged.period_s else ""
    return ("up to " if bound else "") + _share(judged.loss) + bound


def _share(loss: Loss) -> str:
    return f"{percent(max(loss.share, 0.0))} of Recall@10 (standard error {percent(loss.se)})"


def percent(share: float) -> str:
    """A share as text, such as 2.5 %."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def about(value: float) -> str:
    """A computed figure as text, with two digits."""
    return shown(float(f"{value:.2g}"))


def shown(value: float) -> str:
    """A figure with two digits, or all digits before the point, and separators of thousands."""
    return f"{float(f'{value:.2g}'):,g}" if value < 100 else f"{value:,.0f}"
