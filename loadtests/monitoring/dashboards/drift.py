"""The dashboard of drift: which columns of served slates differ from the training and from the week before."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.monitoring.panels import Panel, Query, Rows, lines, number
from loadtests.slo import Promises
from recsys.alert_limits import SKEW_SHARE
from training.drift import GENERATIONS, ONE_GENERATION, TRAINING_SLATES

PSI, ALARM, SKEW = "tandem_drift_psi", "tandem_drift_alarm", "tandem_skew_share"
MOST = 10
"""Columns of a graph."""


def rows(_: Promises) -> Rows:
    """The rows of panels."""
    return {
        "Alarms": [
            number("Columns with an alarm", "none", f"sum(max by (against, column) ({ALARM}))", red_above=1),
            number("Largest share of wrong values", "percentunit", f"max({SKEW})", red_above=SKEW_SHARE),
        ],
        "Served slates beside those of the week before and of the training": [
            _largest("week", "Against the week before", (ONE_GENERATION, GENERATIONS)),
            _largest("training", "Against the training", (TRAINING_SLATES,)),
            lines(
                "Logged values that differ from the store's",
                "percentunit",
                Query(f"topk({MOST}, max by (column) ({SKEW}))", "{{column}}"),
                limit=SKEW_SHARE,
            ),
        ],
    }


def _largest(against: str, title: str, limits: Sequence[tuple[float, float]]) -> Panel:
    """The columns with the largest PSI. limits: of columns and of the items, with one and with several generations."""
    expr = f'topk({MOST}, max by (column) ({PSI}{{against="{against}"}}))'
    needed = [f"{column}, of the items {items}" for column, items in limits]
    about = f"Population stability index. An alarm needs {needed[0]}, and a small p value."
    if needed[1:]:
        about += f" With several generations it needs {needed[1]}."
    return lines(title, "none", Query(expr, "{{column}}"), about=about, limit=limits[0][0])
