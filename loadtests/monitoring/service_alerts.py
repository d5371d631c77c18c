"""Prometheus rules for the service, with the limits of slo.toml and of the surfaces in surfaces.toml.

The promise of /recommend is in `burn_rates.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from prometheus_client.utils import floatToGoString

from loadtests.monitoring.rules_text import rendered
from loadtests.slo import OLD_SHARE, ROOT, Promises
from recsys.errors import SurfacesError
from recsys.surfaces import shown_duration
from service.telemetry.slate_metrics import AGE_BUCKETS

FILE = ROOT / "deploy" / "prometheus" / "alerts.yaml"
TEMPLATE = Path(__file__).with_name("service_alerts.yaml.j2")


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
