"""The dashboard of experiments: how the slates of each arm are served. Reports have the effect on users."""

from __future__ import annotations

from loadtests.monitoring.panels import Query, Rows, lines, quantile, rate
from loadtests.slo import Promises

SLATES, ARM = "tandem_arm_slates_total", "experiment, arm"
LEGEND = "{{experiment}} {{arm}}"


def rows(promises: Promises) -> Rows:
    """The rows of panels."""
    return {
        "Arms of running experiments": [
            lines("Slates", "reqps", Query(rate(SLATES, ARM), LEGEND)),
            lines(
                "p99",
                "s",
                Query(quantile(0.99, "tandem_arm_seconds", ARM), LEGEND),
                limit=promises.recommend.p99_ms / 1000,
            ),
            lines(
                "Slates by outcome",
                "percentunit",
                Query(
                    f"{rate(SLATES, f'{ARM}, outcome')} / on ({ARM}) group_left {rate(SLATES, ARM)}",
                    f"{LEGEND} {{{{outcome}}}}",
                ),
                about="`fell_back`: the arm could not be served, and the control answered.",
            ),
        ],
    }
