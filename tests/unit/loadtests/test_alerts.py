"""The alerts for Prometheus have the limits of slo.toml and of surfaces.toml, and use metrics of the service."""

import re
from dataclasses import replace

import pytest
import yaml
from prometheus_client import REGISTRY

from loadtests.monitoring.service_alerts import FILE, alerts
from loadtests.slo import Promises, Slo
from recsys.errors import SurfacesError
from recsys.promises import VerbPromise
from recsys.surfaces import parse
from service.schema.verb_table import VERBS
from service.telemetry import metrics

HOME = '[home]\nmode = "hybrid"\nrate = 5\np50_ms = 20\np99_ms = 90\nerror_share = 0.0\ndegraded_share = 0.03'
PROMISES = Promises(
    Slo(rate=50, deadline_ms=500, p50_ms=50, p99_ms=80, error_share=0.0, degraded_share=0.2),
    {"similar": VerbPromise(p99_ms=70, error_share=0.02), "rank": VerbPromise(p99_ms=80, error_share=0.0)},
    {"hybrid": 60},
    {"home": parse(HOME)["home"]},
)


def rules(promises):
    """By the alert's name, and the verb, mode or surface that it is about."""
    [group] = yaml.safe_load(alerts(promises))["groups"]
    about = [
        next((rule["labels"][key] for key in ("verb", "mode", "surface") if key in rule["labels"]), "")
        for rule in group["rules"]
    ]
    return {(rule["alert"], name): rule for rule, name in zip(group["rules"], about, strict=True)}


def test_the_file_is_up_to_date():
    """After a change of slo.toml, run `python -m loadtests.monitoring`."""
    assert FILE.read_text(encoding="utf-8") == alerts(replace(Promises.read(), surfaces={}))


def test_every_metric_is_one_of_the_service():
    """A rule over another metric, or over a verb or a mode that does not exist, never fires."""
    exported = {metric.name for metric in REGISTRY.collect()}
    promises = replace(Promises.read(), surfaces=PROMISES.surfaces)
    assert {"recommend", *promises.verbs} <= {verb.name for verb in VERBS}
    assert {*promises.modes} == {"batch", "hybrid", "realtime"}
    for name, rule in rules(promises).items():
        used = {re.sub(r"_(total|count|bucket)$", "", each) for each in re.findall(r"tandem_\w+", rule["expr"])}
        assert used, name
        assert used <= exported, name
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_every_limit_of_time_is_within_the_buckets():
    """Prometheus computes no percentile above the last bucket, so an alert above it never fires."""
    promises = Promises.read()
    limits = [promises.recommend.p99_ms, *promises.modes.values(), *(each.p99_ms for each in promises.verbs.values())]
    assert max(limits) / 1000 < metrics.BUCKETS[-1]


def test_a_promised_age_that_the_histogram_does_not_count_is_refused():
    """The alert would name the promise and fire at the next bound above it."""
    surface = parse('[home]\nlist_age = "3h"')["home"]
    with pytest.raises(SurfacesError, match=r"surfaces\.toml \[home\] list_age is 3h.* 2h, 6h, "):
        alerts(replace(Promises.read(), surfaces={"home": surface}))


@pytest.mark.parametrize(
    ("alert", "about", "metric", "limit"),
    [
        ("TandemSlow", "similar", 'request_seconds_bucket{verb="similar"', "0.07"),
        ("TandemFailing", "similar", 'request_seconds_count{verb="similar"', "0.02"),
        ("TandemFailing", "rank", 'request_seconds_count{verb="rank"', "0.001"),
        ("TandemModeSlow", "hybrid", 'slate_seconds_bucket{mode="hybrid"', "0.06"),
        ("TandemSurfaceSlow", "home", 'slate_seconds_bucket{surface="home",mode!~"rank|similar|explain"', "0.09"),
        ("TandemSurfaceDegraded", "home", 'degraded_total{surface="home",stage!="overload"', "0.03"),
        ("TandemDegraded", "", 'degraded_total{stage!="overload"', "0.2"),
        ("TandemOverloaded", "", 'degraded_total{stage="overload"', "0.2"),
    ],
)
def test_limits_are_those_of_the_promises(alert, about, metric, limit):
    """Of each verb, mode and surface. Where no failure is allowed, one in a thousand alerts; overload is apart."""
    expr = rules(PROMISES)[alert, about]["expr"]
    assert f"tandem_{metric}" in expr
    assert expr.endswith(f"> {limit}")
