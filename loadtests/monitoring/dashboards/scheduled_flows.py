"""The dashboard of flows (jobs such as `train`): are they on schedule, how long they take, their rows and quality."""

from __future__ import annotations

from loadtests.monitoring.flow_alerts import QUALITY_SHARE, ROWS_SHARE, SLOW_TIMES
from loadtests.monitoring.panels import Panel, Query, Rows, lines
from loadtests.slo import Promises

SUCCESS = "tandem_flow_last_success_timestamp_seconds"
MEDIANS = "The median is of the completed runs before the last one, from the sixth run on."


def rows(promises: Promises) -> Rows:
    """The rows of panels."""
    shares = [
        Query(f'(time() - max({SUCCESS}{{flow="{flow}"}})) / {promised:g}', flow)
        for flow, promised in promises.flows.items()
    ]
    since = f"time() - max by (flow) ({SUCCESS})"
    return {
        "Schedule": [
            lines("Time since the last success", "s", Query(since, "{{flow}}")),
            lines(
                "Share of the promised time",
                "percentunit",
                *shares,
                about="Time since the last success, divided by the time that slo.toml promises. Late above 1.",
                limit=1,
            ),
            *_beside_median("Time of the last run", "s", "tandem_flow_duration_seconds", limit=SLOW_TIMES),
        ],
        "Rows and quality": [
            *_beside_median("Rows", "none", "tandem_flow_rows", by="flow, direction", limit=ROWS_SHARE),
            *_beside_median("Recall@10 of the served model", "none", "tandem_flow_quality", limit=QUALITY_SHARE),
        ],
    }


def _beside_median(title: str, unit: str, metric: str, *, by: str = "flow", limit: float) -> list[Panel]:
    """The values of the last runs, and the same divided by their medians, with the limit of the alert."""
    last, median = (f'max by ({by}) ({metric}{{run="{run}"}})' for run in ("last", "median"))
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return [
        lines(title, unit, Query(last, legend)),
        lines(f"{title} / median", "none", Query(f"{last} / {median}", legend), about=MEDIANS, limit=limit),
    ]
