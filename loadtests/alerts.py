"""Writes the service's Prometheus alert rules, deploy/prometheus/alerts.yaml, with the limits of slo.toml and of the
surfaces in surfaces.toml.

Run `python -m loadtests.alerts` after a change of either file. A test fails if the rules are out of date, or if a rule
uses a metric that the service does not have. The promise of /recommend is in loadtests/monitoring/burn_rates.py.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, StrictUndefined

from loadtests.slo import ROOT, Promises

FILE = ROOT / "deploy" / "prometheus" / "alerts.yaml"
TEMPLATE = Path(__file__).with_name("alerts.yaml.j2")

LEAST_SHARE = 0.001
"""Least share of failed requests that alerts, where slo.toml allows none: a single failure wakes no person."""


def alerts(promises: Promises) -> str:
    """The file with the limits of all promises but that of /recommend, whose alerts are burn rates."""
    surfaces = {name: surface.promise for name, surface in promises.surfaces.items()}
    limits = {"verbs": promises.verbs, "modes": promises.modes, "surfaces": surfaces}
    return rendered(TEMPLATE, recommend=promises.recommend, **limits)


def rendered(template: Path, **values: object) -> str:
    """A template of rules with these values in << >>."""
    environment = Environment(
        variable_start_string="<<",  # Prometheus has its own {{ }}
        variable_end_string=">>",
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters |= {
        "seconds": lambda milliseconds: f"{milliseconds / 1000:g}",
        "failing": lambda share: max(share, LEAST_SHARE),
        "percent": lambda share: f"{100 * share:g}%",
    }
    return environment.from_string(template.read_text(encoding="utf-8")).render(values)


if __name__ == "__main__":
    FILE.write_text(alerts(Promises.read()), encoding="utf-8")
