"""Prometheus rules for the error budget of /recommend: recorded shares of bad requests, and alerts on burn rates.

A burn rate is the share of bad requests, divided by the share that slo.toml allows. At burn rate 1 the budget of 30
days lasts 30 days. An alert needs the rate in a long window, so that a short fault is no alert, and in a short window,
so that the alert ends soon after the fault. Windows and rates are those of the SRE workbook ("Alerting on SLOs").
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from loadtests.monitoring.rules_text import rendered
from loadtests.slo import ROOT, Slo
from recsys.alert_limits import LEAST_ALERTING
from service.telemetry.metrics import BUCKETS

FILE = ROOT / "deploy" / "prometheus" / "burn_rates.yaml"
TEMPLATE = Path(__file__).with_name("burn_rates.yaml.j2")

SHORT, LONG = ("5m", "30m", "1h", "6h"), ("3d", "30d")
"""Windows of the recorded shares; 30d is the period of the budget. Long ones are computed once a minute: 30 days of a
counter are 172,800 samples.
"""

SLOW_SHARE = 0.01
"""Share of answers that may be slower than p99_ms, by the meaning of a p99."""


class Burn(NamedTuple):
    """One alert: the burn rate in both windows that fires it."""

    long: str
    short: str
    rate: float
    severity: str


BURNS = (Burn("1h", "5m", 14.4, "page"), Burn("6h", "30m", 6, "page"), Burn("3d", "6h", 1, "ticket"))
"""2 % of the 30 days' budget in an hour, 5 % in six hours, 10 % in three days."""


def error_budget(promise: Slo) -> float:
    """Share of requests that may fail; where slo.toml allows none, the least share that alerts."""
    return max(promise.error_share, LEAST_ALERTING)


def latency_bound(promise: Slo) -> float:
    """The bound in seconds above which an answer is slow: p99_ms, or the next bound of the histogram above p99_ms."""
    return next(bound for bound in BUCKETS if bound >= promise.p99_ms / 1000)


def burn_rates(promise: Slo) -> str:
    """The file of rules with the limits of a promise."""
    budgets = {"Error": ("errors", error_budget(promise)), "Latency": ("slow", SLOW_SHARE)}
    return rendered(
        TEMPLATE, groups={"short": SHORT, "long": LONG}, burns=BURNS, budgets=budgets, bound=latency_bound(promise)
    )
