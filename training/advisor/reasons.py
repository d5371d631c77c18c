"""The reasons for the mode of a surface, in sentences: what excludes modes, and what decides between the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from recsys.surfaces import shown_duration
from training.advisor.checklist import Checklist
from training.advisor.curves import SEGMENTS, Loss, loss_at
from training.advisor.judgement import CURVES, Case, Freshness, Judgement, allowed, cheapest
from training.advisor.mode import Mode
from training.advisor.thresholds import percent, shown


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
