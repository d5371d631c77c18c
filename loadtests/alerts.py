"""Writes the service's Prometheus alert rules, deploy/prometheus/alerts.yaml, with the limits that slo.toml names.

Run `python -m loadtests.alerts` after a change of slo.toml. A test fails if the file is out of date, or if a rule uses
a metric that the service does not have.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, StrictUndefined

from loadtests.slo import ROOT, Slo

FILE = ROOT / "deploy" / "prometheus" / "alerts.yaml"
TEMPLATE = Path(__file__).with_name("alerts.yaml.j2")

LEAST_SHARE = 0.001
"""Least share of failed requests that alerts, where slo.toml allows none: a single failure wakes no person."""


def alerts(slo: Slo) -> str:
    """The file with the limits of an Slo."""
    failing = max(slo.error_share, LEAST_SHARE)
    template = Environment(
        variable_start_string="<<",  # Prometheus has its own {{ }}
        variable_end_string=">>",
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    ).from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        p99_s=f"{slo.p99_ms / 1000:g}",
        failing=f"{failing:g}",
        failing_percent=f"{failing:.1%}",
        degraded=f"{slo.degraded_share:g}",
        degraded_percent=f"{slo.degraded_share:.0%}",
    )


if __name__ == "__main__":
    FILE.write_text(alerts(Slo.read()), encoding="utf-8")
