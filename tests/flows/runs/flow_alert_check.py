"""Checks which alerts on flows fire, by promtool on the metrics that a gateway exports of recorded runs."""

import json

from prometheus_client import REGISTRY

from service.telemetry import flow_runs, metrics
from tests.servers.prometheus import promtool

MINUTES = 5
"""Of metrics before the rules are evaluated; every age stays the same for so long."""

LABELS = {"TandemDrift": ("alertname", "against", "column"), "TandemSkew": ("alertname", "column")}
OF_FLOWS = "alertname", "flow", "direction"
BY = "alertname, flow, direction, against, column"
PREFIXES = "tandem_flow_", "tandem_drift_", "tandem_skew_"


def exported(records, now):
    """The metrics of a gateway whose store has these records, as series of promtool, whose clock starts at 0."""
    of_drift = metrics.drift_psi, metrics.drift_alarm, metrics.skew_share
    for gauge in (metrics.flow_success, metrics.flow_seconds, metrics.flow_rows, metrics.flow_quality, *of_drift):
        gauge.clear()
    flow_runs.export(records, now)
    series = {}
    for metric in REGISTRY.collect():
        if metric.name.startswith(PREFIXES):
            for sample in metric.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
                is_time = "timestamp" in sample.name
                values = f"{sample.value - now:f}+60x{MINUTES}" if is_time else f"{sample.value}x{MINUTES}"
                series[f"{sample.name}{{{labels}}}"] = values
    return series


def check_alerts(rules, records, now, expected, folder):
    """Fail unless exactly the expected alerts of a file of rules fire.

    expected: each the name and the values of its labels: the flow and direction, or those of LABELS.
    """
    samples = [{"labels": _braced(name), "value": 1} for name in expected]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in exported(records, now).items()],
        "promql_expr_test": [
            {
                "expr": f"count by ({BY}) (ALERTS{{alertstate='firing'}})",
                "eval_time": f"{MINUTES}m",
                "exp_samples": samples,
            }
        ],
    }
    file = folder / "test.yaml"
    file.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", file)


def _braced(name):
    """The labels of an alert as promtool reads them."""
    values = name.split()
    keys = LABELS.get(values[0], OF_FLOWS)
    return "{" + ",".join(f'{key}="{value}"' for key, value in zip(keys, values, strict=False)) + "}"
