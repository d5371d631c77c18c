"""`python -m loadtests.alerts` writes deploy/prometheus/alerts.yaml: what wakes somebody, by the promises of slo.toml.

A test refuses a file that is not what this writes, and a rule over a metric that the service does not have.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "deploy" / "prometheus" / "alerts.yaml"

LEAST_SHARE = 0.001
"""Failures that are worth a call, where slo.toml promises none: one in a thousand for minutes is no accident."""

_ANSWERED = 'verb="recommend",code=~"200|OK"'
_BROKEN = 'verb="recommend",code=~"5..|INTERNAL|UNAVAILABLE"'

_HEAD = """\
# Written by `python -m loadtests.alerts` from slo.toml; edit those.
groups:
  - name: tandem
    rules:
"""


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule. lasts: how long it has to hold. severity: page (now) or ticket (today)."""

    name: str
    expr: str
    lasts: str
    severity: str
    summary: str

    def yaml(self) -> str:
        """As Prometheus reads it."""
        return (
            f"      - alert: {self.name}\n        expr: {self.expr}\n        for: {self.lasts}\n"
            f"        labels:\n          severity: {self.severity}\n"
            f"        annotations:\n          summary: {self.summary}\n"
        )


def alerts(slo: dict[str, float]) -> Iterator[Alert]:
    """All rules; slo: the section `recommend`."""
    p99, failing = slo["p99_ms"] / 1000, max(slo["error_share"], LEAST_SHARE)
    answered = f"sum(rate(tandem_request_seconds_count{{{_ANSWERED}}}[5m]))"
    yield Alert(
        "TandemSlow",
        f"histogram_quantile(0.99, sum by (le) (rate(tandem_request_seconds_bucket{{{_ANSWERED}}}[5m]))) > {p99:g}",
        "5m",
        "page",
        f"One in a hundred slates takes longer than {p99:g} s.",
    )
    yield Alert(
        "TandemFailing",
        f"sum(rate(tandem_request_seconds_count{{{_BROKEN}}}[5m]))"
        f' / sum(rate(tandem_request_seconds_count{{verb="recommend"}}[5m])) > {failing:g}',
        "2m",
        "page",
        f"More than {failing:.1%} of the requests for slates fail by our fault.",
    )
    yield Alert(
        "TandemDegraded",
        f"max(sum by (stage) (rate(tandem_degraded_total[5m]))) / {answered} > {slo['degraded_share']:g}",
        "5m",
        "ticket",
        f"More than {slo['degraded_share']:.0%} of the slates leave a stage out.",
    )
    yield Alert(
        "TandemWorkersMissing",
        'tandem_workers{state="alive"} < ignoring (state) tandem_workers{state="wanted"}',
        "1m",
        "page",
        '"{{ $labels.service }} on {{ $labels.instance }} has {{ $value }} workers, fewer than it should."',
    )
    yield Alert(
        "TandemWorkerDied",
        "increase(tandem_worker_deaths_total[10m]) > 0",
        "0m",
        "ticket",
        '"A worker of {{ $labels.service }} on {{ $labels.instance }} died and was replaced; the log says by what."',
    )
    yield Alert(
        "TandemAway",
        'absent(tandem_workers{service="Gateway"})',
        "2m",
        "page",
        "No gateway is scraped.",
    )
    yield Alert(
        "TandemGenerationRefused",
        "increase(tandem_generation_refused_total[10m]) > 0",
        "0m",
        "ticket",
        "A generation that went live is not served; /status says why under refused.",
    )
    yield Alert(
        "TandemImpressionsLost",
        'increase(tandem_lost_entries{stream="impressions"}[10m]) > 0',
        "0m",
        "ticket",
        "Impressions leave the store before flows drain reads them; drain more often, raise TANDEM_IMPRESSIONS_MIB or "
        "lower TANDEM_IMPRESSIONS_PER_SECOND.",
    )
    yield Alert(
        "TandemEventsLost",
        'increase(tandem_lost_entries{stream="events"}[10m]) > 0',
        "0m",
        "ticket",
        "The log of events holds less than the 24 hours that trending reads; raise TANDEM_EVENT_LOG_MIB.",
    )


def written() -> str:
    """The whole file."""
    with (ROOT / "slo.toml").open("rb") as file:
        return _HEAD + "".join(alert.yaml() for alert in alerts(tomllib.load(file)["recommend"]))


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
