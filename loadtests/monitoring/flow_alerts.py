"""Prometheus rules for the flows (jobs such as `train`): late or slow, with fewer rows, with a worse model, or
with drift of served slates.

The metrics come from the records that runs leave in the store (`recsys/store/run_record.py`). slo.toml has the longest
time between two successes of each flow.
"""

from __future__ import annotations

from collections.abc import Mapping

from loadtests.monitoring.rules_text import rendered
from loadtests.slo import ROOT
from recsys.alert_limits import SKEW_SHARE
from recsys.flow_names import LIST_FLOWS

FILE = ROOT / "deploy" / "prometheus" / "flow_alerts.yaml"
TEMPLATE = ROOT / "loadtests" / "monitoring" / "flow_alerts.yaml.j2"

PAGES = ("monitor",)
"""Flows whose delay wakes a person: without `monitor` no arm that harms users is halted."""

WHOLE = ("train", "batch", "item-lists")
"""Flows that read and make everything in each run. The rows of the others follow the traffic."""

SLOW_TIMES, SLOW_SECONDS = 3, 60.0
"""A run is slow above so many times the median of the runs before, if it also takes longer than SLOW_SECONDS: a busy
machine multiplies the time of a run that takes a second.
"""

ROWS_SHARE, QUALITY_SHARE = 0.7, 0.9
"""Shares of the median below which rows and quality have fallen. The gate allows a tenth of quality in a training."""


def flow_alerts(promised: Mapping[str, float], least: float = SLOW_SECONDS) -> str:
    """The file of rules. promised: the longest time between two successes in seconds, by flow."""
    return rendered(
        TEMPLATE,
        promised=promised,
        lists=LIST_FLOWS,
        pages=PAGES,
        whole=WHOLE,
        times=SLOW_TIMES,
        least=least,
        rows=ROWS_SHARE,
        quality=QUALITY_SHARE,
        skew=SKEW_SHARE,
    )
