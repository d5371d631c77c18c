"""The alerts for Prometheus have the limits of slo.toml, and use metrics of the service."""

import re

import yaml
from prometheus_client import REGISTRY

from loadtests.alerts import FILE, alerts
from loadtests.slo import Slo
from service.telemetry import metrics  # noqa: F401  # registers them


def rules(slo):
    [group] = yaml.safe_load(alerts(slo))["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def test_the_file_is_up_to_date():
    """After a change of slo.toml, run `python -m loadtests.alerts`."""
    assert FILE.read_text(encoding="utf-8") == alerts(Slo.read())


def test_every_metric_is_one_of_the_service():
    """A rule over another metric never fires."""
    exported = {metric.name for metric in REGISTRY.collect()}
    for name, rule in rules(Slo.read()).items():
        used = {re.sub(r"_(total|count|bucket)$", "", each) for each in re.findall(r"tandem_\w+", rule["expr"])}
        assert used, name
        assert used <= exported, name
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_limits_are_those_of_slo_toml():
    """Where slo.toml allows no failure, one in a thousand alerts."""
    slo = Slo(rate=50, deadline_ms=500, p50_ms=50, p99_ms=80, error_share=0.0, degraded_share=0.2)
    exprs = {name: rule["expr"] for name, rule in rules(slo).items()}
    assert exprs["TandemSlow"].endswith("> 0.08")
    assert exprs["TandemFailing"].endswith("> 0.001")
    assert exprs["TandemDegraded"].endswith("> 0.2")
