"""Charts of a training run's report: the metrics of each model by segment of the test, the spread of the ranker's
scores, and learning curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.evaluation.metric_table import BASELINES, OF_TYPE, OVERALL, SERVED, Evaluation, prefix_of
from training.evaluation.preview import Scores
from training.progress import Curve
from training.report.charts import COLOURS, NARROW, SOFT, Chart, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEGMENTS = {"": "all queries", "warm_": "warm users", "cold_": "cold users", "new_": "new items"}


def segments(evaluation: Evaluation) -> dict[str, str]:
    """The segments that have queries: the prefix of their figures, and their names."""
    found = {prefix: name for prefix, name in SEGMENTS.items() if evaluation.served.get(f"{prefix}queries")}
    found |= {"": SEGMENTS[""] + evaluation.of_targets}
    for segment in evaluation.by_type:
        found[prefix_of(segment)] = "all event types" if segment == OVERALL else segment.removeprefix(OF_TYPE)
    return found


def metric_chart(evaluation: Evaluation, metric: str, prefix: str, segment: str) -> Chart:
    """One metric of every model in one segment, with bars of two standard errors."""
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
    return chart(f"{metric}, {segment}, {queries:,.0f} queries", draw, size, legend=False, xlim=(0, None))


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
