"""The guardrails of an experiment: does what gateways counted of an arm's slates since an earlier look break a limit?

A limit is broken if chance alone would give such counts with a probability below `ALPHA`. So a look at few slates halts
no arm. Clicks and the ratio of users are judged by the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import TypeAdapter
from scipy.stats import binomtest

from recsys.experiments.definition import Guardrails

K = TypeVar("K", str, float)

ALPHA = 1e-4
"""A monitor looks 1,440 times a day, at up to four limits of each arm. At a share equal to its limit, one look in
10,000 is a false alarm; below the limit there are far fewer."""

LEAST_SLATES = 30
"""Slates of an arm below which no limit is judged."""

SLOW_SHARE = 0.01
"""The share of slates that may be slower than p99_ms."""


@dataclass(frozen=True)
class ArmCounts:
    """Counters of one arm. outcomes: slates by outcome. within: slates by the longest time in seconds, cumulative."""

    outcomes: Mapping[str, float] = field(default_factory=dict)
    within: Mapping[float, float] = field(default_factory=dict)

    @property
    def slates(self) -> float:
        """All slates."""
        return sum(self.outcomes.values())

    def plus(self, other: ArmCounts) -> ArmCounts:
        """The sum, of two gateways."""
        return ArmCounts(_combined(self.outcomes, other.outcomes, 1), _combined(self.within, other.within, 1))

    def since(self, earlier: ArmCounts) -> ArmCounts:
        """What was counted since. A gateway that restarted counts from zero, so its counters count whole."""
        if any(self.outcomes.get(name, 0) < count for name, count in earlier.outcomes.items()):
            return self
        return ArmCounts(_combined(self.outcomes, earlier.outcomes, -1), _combined(self.within, earlier.within, -1))

    def slower(self, seconds: float) -> float:
        """Slates slower than the first measured time from `seconds` on.

        A gateway counts a slate before its time, and writes both to different files: a look may lack one of them. So
        the number is limited to the slates.
        """
        if not self.within:
            return 0.0
        bound = min((at for at in self.within if at >= seconds), default=max(self.within))
        return min(max(0.0, max(self.within.values()) - self.within[bound]), self.slates)


def _combined(one: Mapping[K, float], other: Mapping[K, float], sign: int) -> dict[K, float]:
    return {name: one.get(name, 0) + sign * other.get(name, 0) for name in {**one, **other}}


def breach(guardrails: Guardrails, counts: ArmCounts) -> str | None:
    """The first broken limit as a sentence; None if none is."""
    slates, outcomes = counts.slates, counts.outcomes
    if slates < LEAST_SLATES:
        return None
    failed = outcomes.get("error", 0) + outcomes.get("fell_back", 0)
    shares = [
        ("failed, or could not be made by the arm", failed, guardrails.error_share, "error_share"),
        ("lack a stage", outcomes.get("degraded", 0), guardrails.degraded_share, "degraded_share"),
        ("are empty", outcomes.get("empty", 0), guardrails.empty_share, "empty_share"),
    ]
    if guardrails.p99_ms is not None:
        slow = counts.slower(guardrails.p99_ms / 1000)
        shares.insert(0, (f"took longer than {guardrails.p99_ms:g} ms", slow, SLOW_SHARE, "p99_ms"))
    for what, count, limit, name in shares:
        if limit is not None and limit < 1 and binomtest(round(count), round(slates), limit, "greater").pvalue < ALPHA:
            return f"{count / slates:.1%} of its {slates:,.0f} slates {what}; {name} allows {limit:.1%}."
    return None


WINDOW_SECONDS = 600.0
"""The guardrails are judged on slates of these seconds, or since the last change of the ramp if it is later."""

KEPT_SECONDS = 900.0

Counts = Mapping[str, Mapping[str, ArmCounts]]
"""The counters of each gateway, by its URL, of each arm, by `experiment/arm`."""


@dataclass(frozen=True)
class Look:
    """The counters at one moment. at: unix seconds."""

    at: float
    counts: Counts


LOOKS = TypeAdapter(list[Look])


def kept(looks: Sequence[Look], now: Look) -> list[Look]:
    """The looks that a later look needs, the oldest first, with the one of now."""
    return [*(each for each in looks if now.at - KEPT_SECONDS <= each.at < now.at), now]


def counts_since(looks: Sequence[Look], now: Look, since: float) -> dict[str, ArmCounts]:
    """What each arm did from the first look that is not before `since`, unix seconds; none without such a look.

    A gateway counts from the first of these looks that could read its counters.
    """
    start = max(since, now.at - WINDOW_SECONDS)
    total: dict[str, ArmCounts] = {}
    for gateway, arms in now.counts.items():
        read = (look.counts[gateway] for look in looks if start <= look.at < now.at and gateway in look.counts)
        if (first := next(read, None)) is None:
            continue
        for arm, counts in arms.items():
            total[arm] = total.get(arm, ArmCounts()).plus(counts.since(first.get(arm, ArmCounts())))
    return total
