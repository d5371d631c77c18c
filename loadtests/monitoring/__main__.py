"""Writes the rules of deploy/prometheus and the dashboards of deploy/grafana, with the limits of slo.toml and of
surfaces.toml.

Run it after a change of either file. A test fails if a file is out of date, or uses a metric that the product lacks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from loadtests.monitoring import burn_rates, flow_alerts, service_alerts
from loadtests.monitoring.dashboards import drift, experiments, freshness, overview, scheduled_flows, serving
from loadtests.monitoring.panels import dashboard_json
from loadtests.slo import ROOT, Promises
from recsys.errors import TandemError

DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"


def files(promises: Promises) -> dict[Path, str]:
    """The text of each file."""
    dashboards = {
        "overview": dashboard_json("overview", "overview", overview.rows(promises)),
        "serving": dashboard_json("serving", "serving", serving.rows(promises)),
        "freshness": dashboard_json("freshness", "generations and freshness", freshness.rows(promises)),
        "flows": dashboard_json("flows", "flows", scheduled_flows.rows(promises)),
        "drift": dashboard_json("drift", "drift", drift.rows(promises)),
        "experiments": dashboard_json("experiments", "experiments", experiments.rows(promises)),
    }
    written = {DASHBOARDS / f"{name}.json": text for name, text in dashboards.items()}
    rules = {
        service_alerts.FILE: service_alerts.alerts(promises),
        burn_rates.FILE: burn_rates.burn_rates(promises.recommend),
        flow_alerts.FILE: flow_alerts.flow_alerts(promises.flows),
    }
    return rules | written


if __name__ == "__main__":
    DASHBOARDS.mkdir(parents=True, exist_ok=True)
    try:
        written = files(Promises.read())
    except TandemError as error:
        sys.exit(f"error: {error}")
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
