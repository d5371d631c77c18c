"""The figures of the generations of the last 30 days, so that a new model is compared with the best of them.

A generation is a set of trained models and tables; the gate decides whether a newly trained one may go live. The
manifest of a generation also has the figures of the better ones that were live before it, which may be gone by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recsys.generation.manifest import Manifest
from training.judge.metric_table import METRICS, SE_DIFFERENCE, SERVED, Row

RECENT = 30 * 86_400.0
"""Seconds for which a generation counts."""

FIGURES = ("queries", *METRICS, *(f"{error}{metric}" for metric in METRICS for error in ("se_", SE_DIFFERENCE)))
"""What is kept of a row of the metric table: the figures over all queries."""


@dataclass(frozen=True, slots=True)
class PastGeneration:
    """A generation's figures in its own test: those of the served model, and of the best baseline, by name.

    created: unix seconds.
    """

    id: str
    created: float
    served: Row
    baseline: str
    beaten: Row


def quality(served: Mapping[str, float | None]) -> float:
    """The figure by which generations are ordered: the sum of both metrics."""
    return sum(served.get(metric) or 0.0 for metric in METRICS)


def past_of(manifest: Manifest) -> tuple[PastGeneration, ...]:
    """The better generations before a generation, oldest first, and itself. Each is better than all later ones."""
    metrics = manifest.metrics
    if not metrics.get("best_baseline"):
        return ()
    before = [PastGeneration(**each) for each in metrics.get("past", [])]
    baseline = metrics["best_baseline"]
    own = (manifest.id, manifest.created, _kept(metrics[SERVED]), baseline["name"], _kept(baseline))
    return *before, PastGeneration(*own)


def best_of(past: Sequence[PastGeneration], now: float) -> PastGeneration | None:
    """The best generation of 30 days; None if that is the last one of `past`."""
    return next((each for each in past[:-1] if each.created > now - RECENT), None)


def better(
    past: Sequence[PastGeneration], served: Row, now: float, measured: Mapping[str, bool]
) -> list[PastGeneration]:
    """The generations of 30 days that are better than a new one. No other can become the best again.

    measured: whether a generation, by id, was better on the same queries. For others the figures of both tests count.
    """
    recent = [each for each in past if each.created > now - RECENT]
    return [each for each in recent if measured.get(each.id, quality(each.served) > quality(served))]


def _kept(row: Row) -> Row:
    return {name: row.get(name) for name in FIGURES}
