"""The dashboard of drift: which columns of served slates differ from the training and from the week before."""

from __future__ import annotations

from loadtests.monitoring.panels import Panel, Query, Rows, lines, number
from loadtests.slo import Promises
from recsys.alert_limits import SKEW_SHARE
from training.drift import ALARM_PSI, ITEM_PSI, TRAINED_ITEM_PSI

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
            _largest("week", "Against the week before"),
            _largest("training", "Against the training"),
            lines(
                "Logged values that differ from the store's",
                "percentunit",
                Query(f"topk({MOST}, max by (column) ({SKEW}))", "{{column}}"),
                limit=SKEW_SHARE,
            ),
        ],
    }


def _largest(against: str, title: str) -> Panel:
    """The columns with the largest PSI."""
    expr = f'topk({MOST}, max by (column) ({PSI}{{against="{against}"}}))'
    items = TRAINED_ITEM_PSI if against == "training" else ITEM_PSI
    about = f"Population stability index. An alarm needs {ALARM_PSI}, of the items {items}, and a small p value."
    return lines(title, "none", Query(expr, "{{column}}"), about=about, limit=ALARM_PSI)
