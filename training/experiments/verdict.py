"""The verdict on an experiment in one sentence for each arm: better, worse, no difference yet, or too few users.

If the assignment is broken, the sentence says so, and no other figure counts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from recsys.experiments.definition import CONTROL, Guardrails
from training.experiments.confidence_sequence import LEAST_TAKEN, LEAST_USERS
from training.experiments.reading import ALL, NUMERATORS, MeasuredLift, Metric, Reading, SampleRatio

Word = Literal["better", "worse", "no difference yet", "too few users", "broken"]

MOST_CROSSED = 0.01
"""The share of users with slates of two arms from which the assignment counts as broken."""


@dataclass(frozen=True)
class Verdict:
    """words: by arm. sentence: for people."""

    words: Mapping[str, Word]
    sentence: str


def judge(reading: Reading) -> Verdict:
    """The verdict on the primary metric, on all surfaces together."""
    segment, counted = reading.segments[ALL], counted_since(reading)
    if sentence := _broken(reading):
        return Verdict(dict.fromkeys(segment.lifts, "broken"), f"{sentence} {counted}".strip())
    words: dict[str, Word] = {}
    sentences = []
    for arm, lifts in segment.lifts.items():
        measured = lifts[reading.primary]
        words[arm], sentence = _too_few(reading, arm) if measured is None else _of_lift(arm, measured, reading.primary)
        sentences.append(sentence)
    return Verdict(words, " ".join([*sentences, counted]).strip())


def counted_since(reading: Reading) -> str:
    """From when the slates are counted by the assigned arm, if the window has others; empty without such slates."""
    if reading.by == "served":
        return (
            "No slate of the window has the assigned arm, because the release before wrote the files: the slates are "
            "counted by the arm that served them."
        )
    if reading.assigned_since is None:
        return ""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(reading.assigned_since))
    return f"Assignment is logged since {since}; the {reading.left_out:,} slates before are left out."


def breaches(reading: Reading, guardrails: Guardrails) -> dict[str, str]:
    """Why arms break a guardrail that the report judges, by arm: sample_ratio and click_rate_drop."""
    segment, found = reading.segments[ALL], {}
    if guardrails.sample_ratio and (sentence := _broken(reading)):
        return dict.fromkeys(segment.lifts, sentence)
    for arm, lifts in segment.lifts.items():
        lift, most = lifts["click"], guardrails.click_rate_drop
        if lift is not None and most is not None and lift.high < 0 and lift.value < -most:
            found[arm] = (
                f"Its clicks per slate differ from the control's by {_with_bounds(lift)}; click_rate_drop allows "
                f"{percent(-most)}."
            )
    return found


def percent(share: float) -> str:
    """A relative difference with its sign, such as +2.1 %; on one line."""
    return f"{100 * share:+.1f}\N{NO-BREAK SPACE}%"


def _broken(reading: Reading) -> str:
    """Why the groups can't be compared; empty if they can."""
    ratio, users = reading.sample_ratio, sum(group.users for group in reading.segments[ALL].groups.values())
    if ratio is not None and ratio.p < ratio.level:
        return (
            f"The sample ratio is broken (p = {ratio.p:.1g}): {_counts(ratio)}. "
            "Find the cause, and do not use the other figures."
        )
    if reading.one_assignment and reading.crossed > MOST_CROSSED * (users + reading.crossed):
        return (
            f"The assignment is broken: {reading.crossed:,} users, {reading.crossed / (users + reading.crossed):.1%}, "
            "have slates of two arms. Find the cause, and do not use the other figures."
        )
    return ""


def _counts(ratio: SampleRatio) -> str:
    found = (f"{group} has {users:,} users, not {ratio.expected[group]:,.0f}" for group, users in ratio.users.items())
    return ", ".join(found)


def _too_few(reading: Reading, arm: str) -> tuple[Word, str]:
    groups, name = reading.segments[ALL].groups, NUMERATORS[reading.primary]
    least = min((CONTROL, arm), key=lambda group: (groups[group].enough(reading.primary), groups[group].users))
    figures = groups[least]
    if groups[arm].enough(reading.primary) and not groups[CONTROL].users:
        return "too few users", f"The control has no users at this ramp, so there is nothing to compare {arm} with."
    return "too few users", (
        f"Too few users yet for {arm}: {least} has {figures.users:,} users with {figures.counts[reading.primary]:,} "
        f"{name}, and each group needs {LEAST_USERS} users and {LEAST_TAKEN} {name}."
    )


def _of_lift(arm: str, lift: MeasuredLift, metric: Metric) -> tuple[Word, str]:
    figure = f"{NUMERATORS[metric]} per slate {_with_bounds(lift)}"
    if lift.low > 0:
        return "better", f"{arm} is better than control: {figure}."
    if lift.high < 0:
        return "worse", f"{arm} is worse than control: {figure}."
    return "no difference yet", (
        f"No difference between {arm} and control is shown yet: {figure}. A gain above {percent(lift.high)} and a loss "
        f"below {percent(lift.low)} are excluded."
    )


def _with_bounds(lift: MeasuredLift) -> str:
    return f"{percent(lift.value)} (from {percent(lift.low)} to {percent(lift.high)})"
