"""The rules and dashboards of deploy/: their limits are those of slo.toml, and they query metrics of the service."""

import json
import re

from prometheus_client import REGISTRY
from prometheus_client.utils import floatToGoString

from loadtests.slo import OLD_SHARE, Promises
from recsys.alert_limits import LEAST_ALERTING, SKEW_SHARE
from service.schema.verb_table import VERBS
from service.telemetry.metrics import BUCKETS
from service.telemetry.slate_metrics import AGE_BUCKETS
from tests.servers.prometheus import DASHBOARDS, RULES, alerts, queries

SLOW_SHARE = 0.01
"""Of the answers may be slower than p99_ms, by the meaning of a p99."""


def limits_of_rules():
    """The numbers that each alert compares with, and the promised ages, by the name and what it is about.

    Rules of one surface are those of its own promise (docs/surfaces.md).
    """
    found = {}
    for rule in alerts():
        if 'surface="' in rule["expr"]:
            continue
        about = next((rule["labels"][key] for key in ("verb", "mode", "flow") if key in rule["labels"]), "")
        numbers = {float(number) for number in re.findall(r"> (?:[\d.]+ \* )?([\d.]+)(?= and|$)", rule["expr"])}
        ages = {f"age {age}" for age in re.findall(r'part="\w+"[^}]*?,le="([\d.]+)"', rule["expr"])}
        found.setdefault((rule["alert"], about), set()).update(numbers | ages)
    return found


def promised_limits():
    """What slo.toml says that these should be."""
    promises = Promises.read()
    recommend, limits = promises.recommend, {}
    for verb, promise in promises.verbs.items():
        limits["TandemSlow", verb] = {promise.p99_ms / 1000}
        limits["TandemFailing", verb] = {max(promise.error_share, LEAST_ALERTING)}
    for mode, p99_ms in promises.modes.items():
        limits["TandemModeSlow", mode] = {p99_ms / 1000}
    for part, seconds in recommend.freshness.items():
        limits[f"TandemServed{part.capitalize()}Old", ""] = {OLD_SHARE, f"age {floatToGoString(seconds)}"}
    limits["TandemDegraded", ""] = limits["TandemOverloaded", ""] = {recommend.degraded_share}
    limits["TandemErrorBudgetBurn", ""] = {max(recommend.error_share, LEAST_ALERTING)}
    limits["TandemLatencyBudgetBurn", ""] = {SLOW_SHARE}
    for flow, seconds in promises.flows.items():
        lists = flow in ("batch", "item-lists", "refresh")
        limits["TandemListsOld" if lists else "TandemFlowLate", flow] = {seconds}
    limits["TandemSkew", ""] = {SKEW_SHARE}
    return limits


def test_the_limits_of_the_alerts_are_those_of_slo_toml():
    """Also each promise has its alert, and what is slow for the budget begins at p99_ms."""
    found, promised = limits_of_rules(), promised_limits()
    assert {name: found.get(name) for name in promised} == promised
    with_limits = {name for name, _ in promised}
    assert {each for each in found if each[0] in with_limits} == {*promised}
    shares = [rule["expr"] for group in RULES["burn_rates.yaml"]["groups"] for rule in group["rules"]]
    bounds = {float(bound) for expr in shares for bound in re.findall(r'le="([\d.]+)"', expr)}
    assert bounds == {Promises.read().recommend.p99_ms / 1000}


def test_what_slo_toml_promises_can_be_counted():
    """Prometheus computes no percentile above the last bucket, and no share older than an age between two buckets."""
    promises = Promises.read()
    p99s = [promises.recommend.p99_ms, *promises.modes.values(), *(each.p99_ms for each in promises.verbs.values())]
    assert max(p99s) / 1000 < BUCKETS[-1]
    assert promises.recommend.p99_ms / 1000 in BUCKETS
    assert {*promises.recommend.freshness.values()} <= {*AGE_BUCKETS}
    assert {"recommend", *promises.verbs} <= {verb.name for verb in VERBS}
    assert {*promises.modes} == {"batch", "hybrid", "realtime"}


def test_the_limits_of_the_dashboards_are_those_of_slo_toml():
    """The dashed lines, the numbers that turn red, the promised ages and the promised times of flows."""
    promises = Promises.read()
    p99 = promises.recommend.p99_ms / 1000
    lines = {
        "overview": {"p99": p99, "Lack a stage": promises.recommend.degraded_share},
        "serving": {f"p99 by {part}": p99 for part in ("verb", "mode", "surface")},
        "experiments": {"p99": p99},
        "freshness": {"Share older than promised": OLD_SHARE},
    }
    for name, expected in lines.items():
        panels = {panel["title"]: panel for panel in dashboard(name)["panels"]}
        steps = {title: panels[title]["fieldConfig"]["defaults"]["thresholds"]["steps"] for title in expected}
        assert {title: some[-1]["value"] for title, some in steps.items()} == expected, name
    for name in ("overview", "freshness"):
        found = re.findall(r'bucket\{part="(\w+)",le="([\d.]+)"', "".join(expr for _, expr in queries(dashboard(name))))
        promised = {part: floatToGoString(seconds) for part, seconds in promises.recommend.freshness.items()}
        assert {*found} == {*promised.items()}, name
    times = {flow: float(s) for _, expr in queries(dashboard("flows")) for flow, s in PROMISED_TIME.findall(expr)}
    assert times == promises.flows


PROMISED_TIME = re.compile(r'^\(time\(\) - max\(\w+\{flow="([\w-]+)"\}\)\) / (\d+)$')


def dashboard(name):
    """The JSON of a dashboard."""
    return json.loads((DASHBOARDS / f"{name}.json").read_text(encoding="utf-8"))


def test_every_query_is_of_a_metric_that_exists():
    """Metrics of the service, shares that burn_rates.yaml records, and what Prometheus makes by itself."""
    known = {metric.name for metric in REGISTRY.collect()}
    groups = [group for file in RULES.values() for group in file["groups"]]
    known |= {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    exprs = [("rule", rule["expr"]) for group in groups for rule in group["rules"]]
    exprs += [query for path in DASHBOARDS.glob("*.json") for query in queries(json.loads(path.read_text()))]
    for title, expr in exprs:
        used = {re.sub(r"_(total|count|bucket|sum)$", "", each) for each in re.findall(r"tandem[_:][\w:]+", expr)}
        assert used or "up{" in expr or "ALERTS{" in expr, title
        assert used <= known, title
