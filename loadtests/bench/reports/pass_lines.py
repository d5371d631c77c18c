"""Lines of a chart over several passes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from training.report.charts import finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def over_passes(axes: Axes, label: str, passes: Mapping[float, Sequence[float]]) -> None:
    """Draw the median of the passes at each x, with a bar from the least to the most."""
    found = {x: finite(values) for x, values in passes.items() if values}
    middle = [statistics.median(values) for values in found.values()]
    below = [m - min(values) for m, values in zip(middle, found.values(), strict=True)]
    above = [max(values) - m for m, values in zip(middle, found.values(), strict=True)]
    axes.errorbar([*found], middle, yerr=[below, above], fmt="o-", label=label)
