"""Charts of a training run's report: the metrics of each model by segment of the test, the spread of the ranker's
scores, and learning curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.judge.metric_table import BASELINES, OF_TYPE, SERVED, Evaluation, prefix_of
from training.judge.preview import Scores
from training.progress import Curve
from training.report.charts import COLOURS, NARROW, SOFT, Chart, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def metric_chart(evaluation: Evaluation, metric: str, segment: str) -> Chart:
    """One metric of every model in one segment, with bars of two standard errors."""
    prefix = prefix_of(segment)
    models = [model for model, row in evaluation.rows.items() if row.get(prefix + metric) is not None][::-1]

    def draw(axes: Axes) -> None:
        for place, model in enumerate(models):
            row = evaluation.rows[model]
            value, error = row.get(prefix + metric) or 0.0, row.get(f"{prefix}se_{metric}") or 0.0
            colour = COLOURS[0] if model == SERVED else SOFT if model in BASELINES else COLOURS[1]
            axes.errorbar(value, place, xerr=2 * error, fmt="o", color=colour)
        axes.set_yticks(range(len(models)), models)

    queries = evaluation.served.get(f"{prefix}queries") or 0
    size = NARROW[0], 0.7 + 0.2 * len(models)
    title = f"{metric}, {segment.removeprefix(OF_TYPE)}, {queries:,.0f} queries"
    return chart(title, draw, size, legend=False, xlim=(0, None))


def histogram(ours: Scores, live: Scores | None) -> Chart:
    """The share of queries by the ranker's confidence."""
    edges = [bar / len(ours.histogram) for bar in range(len(ours.histogram) + 1)]

    def draw(axes: Axes) -> None:
        axes.stairs(_shares(ours.histogram), edges, fill=True, color=COLOURS[0], label="this run")
        if live:
            axes.stairs(_shares(live.histogram), edges, color=COLOURS[1], linewidth=1.6, label="what is live")

    title = "Queries by the softmax on their first ten"
    return chart(title, draw, NARROW, xlabel="softmax on the first ten", ylabel="% of the queries", xlim=(0, 1))


def learning_curve(step: str, curve: Curve) -> Chart:
    """The loss over a step."""

    def draw(axes: Axes) -> None:
        axes.plot([100 * share for share, _ in curve], [loss for _, loss in curve])

    title = f"{step}: loss from {curve[0][1]:.3f} to {curve[-1][1]:.3f}"
    return chart(title, draw, NARROW, xlabel="% of the step", ylabel="loss")


def _shares(counts: Sequence[int]) -> list[float]:
    return [100 * count / (sum(counts) or 1) for count in counts]
