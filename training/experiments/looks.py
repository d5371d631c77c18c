"""Looks at the counters of gateways: what each arm of an experiment did between an earlier look and now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from training.experiments.guardrails import ArmCounts

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


def counted_since(looks: Sequence[Look], now: Look, since: float) -> dict[str, ArmCounts]:
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
