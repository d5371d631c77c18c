"""The charts of freshness curves for the page of an advice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from recsys.surfaces import shown_duration
from training.advisor.curves import NAMES, SEGMENTS, WHATS, FreshnessCurve, Measurement, MetricByAge, What, fit
from training.report.charts import COLOURS, NARROW, Chart, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

APART = 0.06
"""Of the distance between two ages: how far the bars of two segments are apart."""


def freshness(measurement: Measurement, what: What) -> list[Chart]:
    """Recall@10 and NDCG@10 by age, a line for each segment; no charts for a part that was not measured."""
    curves = [curve for segment in SEGMENTS if (curve := measurement.curve(what, segment))]
    if not curves:
        return []
    ages = sorted({age for curve in curves for age in curve.ages_s})
    return [_chart(curves, ages, what, name) for name in NAMES]


def _chart(curves: list[FreshnessCurve], ages: list[float], what: What, name: str) -> Chart:
    def draw(axes: Axes) -> None:
        for place, curve in enumerate(curves):
            shift = APART * (place - (len(curves) - 1) / 2)
            _draw(axes, curve, getattr(curve, name), [ages.index(age) + shift for age in curve.ages_s])
        axes.set_xticks(range(len(ages)), [shown_duration(age) if age else "request" for age in ages])

    title = f"{NAMES[name]} by age: {WHATS[what]}"
    return chart(title, draw, (NARROW[0], NARROW[1] + 0.3), xlabel="made every")


def _draw(axes: Axes, curve: FreshnessCurve, metric: MetricByAge, at: list[float]) -> None:
    colour = COLOURS[[*SEGMENTS].index(curve.segment)]
    for judged in (True, False):
        rows = [row for row, each in enumerate(curve.judged) if each is judged]
        if rows:
            axes.errorbar(
                [at[row] for row in rows],
                [metric.mean[row] for row in rows],
                yerr=[2 * metric.paired_se[row] for row in rows],
                fmt="o",
                color=colour,
                markerfacecolor=colour if judged else "none",
                label=curve.segment if judged else None,
            )
    fitted = [
        math.nan if loss is None else metric.mean[row] + metric.paired_loss[row] - loss
        for row, loss in enumerate(fit(curve, metric).loss)
    ]
    axes.plot(at, fitted, color=colour, linestyle="--", linewidth=1)
