"""The overview dashboard: the promise of /recommend in slo.toml, how much of the error budget is left, the alerts."""

from __future__ import annotations

from loadtests.monitoring.burn_rates import BURNS, SLOW_SHARE, error_budget
from loadtests.monitoring.dashboards.freshness import older
from loadtests.monitoring.panels import Panel, Query, Rows, lines, number, or_zero, quantile, rate
from loadtests.monitoring.service_alerts import promised_ages
from loadtests.slo import OLD_SHARE, Promises, Slo

OK = 'verb="recommend",code=~"200|OK"'
FAILED = 'code=~"5..|INTERNAL|UNAVAILABLE"'
REQUEST = "tandem_request_seconds"


def rows(promises: Promises) -> Rows:
    """The rows of panels."""
    promise = promises.recommend
    return {
        "Now": _now(promises),
        "Error budget of /recommend, 30 days": _budgets(promise),
        "Requests": [
            lines("Requests by verb", "reqps", Query(rate(f"{REQUEST}_count", "verb"), "{{verb}}")),
            lines(
                "Failed with a server error",
                "percentunit",
                Query(
                    f"{rate(f'{REQUEST}_count', 'verb', FAILED)} / {rate(f'{REQUEST}_count', 'verb')} "
                    f"or 0 * {rate(f'{REQUEST}_count', 'verb')}",
                    "{{verb}}",
                ),
            ),
            lines(
                "Time of /recommend",
                "s",
                Query(quantile(0.5, REQUEST, labels=OK), "p50"),
                Query(quantile(0.99, REQUEST, labels=OK), "p99"),
                limit=promise.p99_ms / 1000,
            ),
        ],
    }


def _now(promises: Promises) -> list[Panel]:
    promise = promises.recommend
    without = rate("tandem_degraded_total", "stage", 'stage!="overload"')
    degraded = f"max({without}) / {rate(f'{REQUEST}_count', labels=OK)}"
    return [
        number(
            "Alerts that fire",
            "none",
            or_zero('count(ALERTS{alertstate="firing",alertname=~"Tandem.+"})'),
            about="Prometheus lists them under Alerts.",
            red_above=1,
        ),
        number("Gateways that answer", "none", 'sum(up{job="tandem"})', red_below=1),
        number("Requests a second", "reqps", rate(f"{REQUEST}_count", labels='verb="recommend"'), about="/recommend"),
        number("p99", "s", quantile(0.99, REQUEST, labels=OK), "of /recommend", red_above=promise.p99_ms / 1000),
        number("Lack a stage", "percentunit", or_zero(degraded), "Slates", red_above=promise.degraded_share),
        *_old(promises),
    ]


def _old(promises: Promises) -> list[Panel]:
    """The share made from something older than promised; no panel without a promised age."""
    shares = " or ".join(f"({older(age)})" for age in promised_ages(promises))
    about = "Share of answers with a model, list or trending items older than promised, of the worst surface."
    panel = number("Made from something old", "percentunit", f"max({shares})", about=about, red_above=OLD_SHARE)
    return [panel] if shares else []


def _budgets(promise: Slo) -> list[Panel]:
    panels: list[Panel] = []
    for name, share, budget in (
        ("Failed requests", "errors", error_budget(promise)),
        ("Slow answers", "slow", SLOW_SHARE),
    ):
        recorded = f"tandem:recommend_{share}:ratio_rate"
        left = number(
            f"Left: {name.lower()}",
            "percentunit",
            f"1 - {recorded}30d / {budget}",
            about=f"The budget is {100 * budget:g} % of the requests of 30 days. Below 0 the promise is broken.",
            red_below=0,
        )
        burn = lines(
            f"Burn rate: {name.lower()}",
            "none",
            *(Query(f"{recorded}{window} / {budget}", window) for window in ("5m", *(each.long for each in BURNS))),
            about="At 1 the budget lasts 30 days. A person is called at 14.4 in 1 h, or at 6 in 6 h.",
            limit=BURNS[0].rate,
        )
        panels += [left, burn]
    return panels
