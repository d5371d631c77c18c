"""The alerts that Prometheus gets: by slo.toml, over metrics that there are."""

import re

import yaml
from prometheus_client import REGISTRY

from loadtests.alerts import FILE, alerts, written
from service.telemetry import metrics  # noqa: F401  # registers them


def test_the_file_is_what_slo_toml_says():
    """Whoever changes a promise runs `python -m loadtests.alerts`."""
    assert FILE.read_text(encoding="utf-8") == written()


def test_it_has_the_shape_of_prometheus_s_rules():
    """Each with a name of its own, an expression, a severity and a sentence."""
    [group] = yaml.safe_load(written())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")
        assert re.fullmatch(r"\d+m", rule["for"])


def test_every_metric_is_one_of_the_service():
    """A rule over a name that nobody exports never fires."""
    there = {metric.name for metric in REGISTRY.collect()}
    for alert in alerts({"p99_ms": 250, "error_share": 0.0, "degraded_share": 0.01}):
        asked = {re.sub(r"_(total|count|bucket)$", "", name) for name in re.findall(r"tandem_\w+", alert.expr)}
        assert asked, alert.name
        assert asked <= there, alert.name


def test_promises_move_the_thresholds():
    """The figures are slo.toml's, but for failures: where none is promised, one in a thousand."""
    told = {alert.name: alert.expr for alert in alerts({"p99_ms": 80, "error_share": 0.0, "degraded_share": 0.2})}
    assert told["TandemSlow"].endswith("> 0.08")
    assert told["TandemFailing"].endswith("> 0.001")
    assert told["TandemDegraded"].endswith("> 0.2")
