"""Writes the service's Prometheus alert rules, deploy/prometheus/alerts.yaml, with the limits of slo.toml and of the
surfaces in surfaces.toml.

Run `python -m loadtests.alerts` after a change of either file. A test fails if the rules are out of date, or if a rule
uses a metric that the service does not have. The promise of /recommend is in loadtests/monitoring/burn_rates.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined
from prometheus_client.utils import floatToGoString

from loadtests.slo import OLD_SHARE, ROOT, Promises
from recsys.alert_limits import LEAST_ALERTING
from recsys.errors import SurfacesError, TandemError
from recsys.surfaces import shown_duration
from service.telemetry.slate_metrics import AGE_BUCKETS

FILE = ROOT / "deploy" / "prometheus" / "alerts.yaml"
TEMPLATE = Path(__file__).with_name("alerts.yaml.j2")


def alerts(promises: Promises) -> str:
    """The file with the limits of all promises but that of /recommend, whose alerts are burn rates."""
    surfaces = {name: surface.promise for name, surface in promises.surfaces.items() if surface.promise}
    limits = {"verbs": promises.verbs, "modes": promises.modes, "surfaces": surfaces, "old_share": OLD_SHARE}
    return rendered(TEMPLATE, recommend=promises.recommend, ages=promised_ages(promises), **limits)


class PromisedAge(NamedTuple):
    """The promised greatest age in seconds of a part of slates. surfaces: the label's matcher of their surfaces."""

    part: str
    surfaces: str
    seconds: float

    @property
    def noun(self) -> str:
        """The part with its article."""
        return {"model": "a model", "list": "a list", "trending": "trending items"}[self.part]

    @property
    def bound(self) -> str:
        """The bound of the histogram at this age."""
        return floatToGoString(self.seconds)


def promised_ages(promises: Promises) -> list[PromisedAge]:
    """The promises of freshness: for each part that of slo.toml, and those of surfaces that have their own.

    SurfacesError for an age that is no bound of the service's histogram: slates older than it are not counted.
    """
    ages: list[PromisedAge] = []
    for part, seconds in promises.recommend.freshness.items():
        _check_bound(f"slo.toml [freshness] {part}", seconds)
        own = {name: surface.ages[part] for name, surface in promises.surfaces.items() if part in surface.ages}
        others = f',surface!~"{"|".join(own)}"' if own else ""
        for name, age in own.items():
            _check_bound(f"surfaces.toml [{name}] {part}_age", age)
        ages += [PromisedAge(part, others, seconds)]
        ages += [PromisedAge(part, f',surface="{name}"', age) for name, age in own.items()]
    return ages


def _check_bound(field: str, seconds: float) -> None:
    if seconds not in AGE_BUCKETS:
        bounds = ", ".join(map(shown_duration, AGE_BUCKETS))
        raise SurfacesError(
            f"{field} is {shown_duration(seconds)}, an age that tandem_freshness_seconds does not count. "
            f"Choose one of {bounds}."
        )


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
        "failing": lambda share: max(share, LEAST_ALERTING),
        "duration": shown_duration,
        "percent": lambda share: f"{100 * share:g}%",
    }
    return environment.from_string(template.read_text(encoding="utf-8")).render(values)


if __name__ == "__main__":
    try:
        FILE.write_text(alerts(Promises.read()), encoding="utf-8")
    except TandemError as error:
        sys.exit(f"error: {error}")
