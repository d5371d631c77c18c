"""The alerts for Prometheus use metrics of the service, and promise only what a histogram counts."""

import re
from dataclasses import replace

import pytest
import yaml
from prometheus_client import REGISTRY

from loadtests.monitoring.service_alerts import alerts
from loadtests.slo import Promises
from recsys.errors import SurfacesError
from recsys.surfaces import parse
from service.schema.verb_table import VERBS
from service.telemetry import metrics

HOME = '[home]\nmode = "hybrid"\nrate = 5\np50_ms = 20\np99_ms = 90\nerror_share = 0.0\ndegraded_share = 0.03'


def test_every_metric_is_one_of_the_service():
    """A rule over another metric, or over a verb or a mode that does not exist, never fires."""
    exported = {metric.name for metric in REGISTRY.collect()}
    promises = replace(Promises.read(), surfaces={"home": parse(HOME)["home"]})
    assert {"recommend", *promises.verbs} <= {verb.name for verb in VERBS}
    assert {*promises.modes} == {"batch", "hybrid", "realtime"}
    [group] = yaml.safe_load(alerts(promises))["groups"]
    for rule in group["rules"]:
        used = {re.sub(r"_(total|count|bucket)$", "", each) for each in re.findall(r"tandem_\w+", rule["expr"])}
        assert used, rule
        assert used <= exported, rule
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_every_limit_of_time_is_within_the_buckets():
    """Prometheus computes no percentile above the last bucket, so an alert above it never fires."""
    promises = Promises.read()
    limits = [promises.recommend.p99_ms, *promises.modes.values(), *(each.p99_ms for each in promises.verbs.values())]
    assert max(limits) / 1000 < metrics.BUCKETS[-1]
    assert promises.recommend.p99_ms / 1000 in metrics.BUCKETS  # so the share of slow answers is exact


def test_a_promised_age_that_the_histogram_does_not_count_is_refused():
    """The alert would name the promise and fire at the next bound above it."""
    surface = parse('[home]\nlist_age = "3h"')["home"]
    with pytest.raises(SurfacesError, match=r"surfaces\.toml \[home\] list_age is 3h.* 2h, 6h, "):
        alerts(replace(Promises.read(), surfaces={"home": surface}))
