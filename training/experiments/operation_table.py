"""The table of how the slates of control and arms were served: latency, failures, and missing stages."""

from __future__ import annotations

import math
from collections.abc import Sequence

from training.experiments.guardrails import ArmCounts
from training.experiments.looks import WINDOW_SECONDS, Look, counted_since
from training.report.page import Table

OUTCOMES = {"failed": ("error", "fell_back"), "degraded": ("degraded",), "empty": ("empty",)}
"""The columns of the table, with the outcomes that gateways count."""

QUANTILES = (0.5, 0.99)


def operation_table(looks: Sequence[Look], experiment: str, groups: Sequence[str], since: float) -> Table:
    """The table, from the looks of the monitor. since: of the last change, unix seconds. groups: control and arms."""
    title = "How slates were served"
    counted = counted_since(looks, looks[-1], since) if looks else {}
    if not counted:
        return Table(title, [], [], "The monitor has not looked twice since the last change: python -m flows monitor.")
    rows = []
    for group in groups:
        counts = counted.get(f"{experiment}/{group}", ArmCounts())
        shares = (_share(counts, outcomes) for outcomes in OUTCOMES.values())
        rows.append([group, f"{counts.slates:,.0f}", *shares, *(_milliseconds(counts, part) for part in QUANTILES)])
    header = ["", "slates", *OUTCOMES, *(f"p{100 * part:g}" for part in QUANTILES)]
    minutes = f"All slates of the last {WINDOW_SECONDS / 60:.0f} minutes, as gateways counted."
    return Table(title, header, rows, f"{minutes} p50 and p99 are at most so many ms.")


def _share(counts: ArmCounts, outcomes: Sequence[str]) -> str:
    return f"{sum(counts.outcomes.get(name, 0) for name in outcomes) / max(1, counts.slates):.1%}"


def _milliseconds(counts: ArmCounts, part: float) -> str:
    """The first bound of the histogram that this part of the slates does not exceed."""
    least = part * max(counts.within.values(), default=0)
    bound = next((at for at, count in sorted(counts.within.items()) if count >= least > 0), None)
    if bound is None:
        return ""
    return "above all buckets" if math.isinf(bound) else f"{1_000 * bound:g}"
