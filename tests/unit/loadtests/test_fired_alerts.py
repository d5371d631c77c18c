"""Each alert of deploy/prometheus fires for its fault and for no other, by promtool on made-up metrics."""

import json
import math

import pytest
import yaml
from prometheus_client.utils import floatToGoString

from loadtests.slo import ROOT, Promises
from service.telemetry.metrics import BUCKETS
from service.telemetry.slate_metrics import AGE_BUCKETS
from tests.servers.prometheus import RULE_FILES, promtool, surface_rules, without_surface

PROMISES = Promises.read()
AGE = "tandem_freshness_seconds"
MINUTES = 90
"""Of metrics before the rules are evaluated."""


def steady(per_minute):
    """A counter from 0, or a gauge at 0."""
    return f"0+{per_minute}x{MINUTES}"


def late(per_minute, minutes, first=0):
    """A counter that increases in the last minutes only, but for `first` of them at the end."""
    rising = minutes - first
    return f"0x{MINUTES - minutes} 0+{per_minute}x{rising - 1} {per_minute * rising}x{first}"


def braced(labels):
    """Labels as Prometheus writes them."""
    return "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def counted(name, values, **labels):
    """One series."""
    return {name + braced(labels): values}


def timed(name, per_minute, seconds, **labels):
    """The series of a histogram whose observations all took so many seconds."""
    series = counted(f"{name}_count", steady(per_minute), **labels)
    for bound in (*(AGE_BUCKETS if name == AGE else BUCKETS), math.inf):
        series |= counted(
            f"{name}_bucket", steady(per_minute * (bound >= seconds)), **labels, le=floatToGoString(bound)
        )
    return series


def requests(verb, per_minute=6000, seconds=0.02, code="200"):
    return timed("tandem_request_seconds", per_minute, seconds, verb=verb, code=code)


def slates(mode, per_minute=6000, seconds=0.02, surface="default"):
    return timed("tandem_slate_seconds", per_minute, seconds, surface=surface, mode=mode)


def aged(part, seconds, surface="default"):
    """A part of slates, all of the same age."""
    return timed(AGE, 60, seconds, part=part, surface=surface)


def failed(verb, values):
    return counted("tandem_request_seconds_count", values, verb=verb, code="503")


def lost(stream, values):
    return counted("tandem_lost_entries", values, stream=stream)


def degraded(per_minute, stage="ranking", surface="default"):
    return counted("tandem_degraded_total", steady(per_minute), stage=stage, surface=surface)


def workers(state, values, service="Gateway"):
    return counted("tandem_workers", values, service=service, state=state, instance="gateway-1:3000")


def increased(name, **labels):
    """A counter that went from 0 to 1 five minutes ago."""
    return counted(name, f"0x{MINUTES - 5} 1x4", **labels)


HEALTHY = {}
for _verb in ("recommend", *PROMISES.verbs):
    HEALTHY |= requests(_verb) | failed(_verb, steady(1))  # 1 in 6,000
for _mode in PROMISES.modes:
    HEALTHY |= slates(_mode)
for _part, _seconds in {**PROMISES.recommend.freshness, "event": 1e9}.items():
    HEALTHY |= aged(_part, 0.9 * _seconds) | aged(_part, 60, "home")
HEALTHY |= slates("batch", 3, surface="home") | degraded(30) | degraded(30, "overload") | degraded(0, surface="home")
for _service in ("Gateway", "Ranking"):
    HEALTHY |= workers("wanted", f"1x{MINUTES}", _service) | workers("alive", f"1x{MINUTES}", _service)
HEALTHY |= counted("tandem_worker_deaths_total", steady(0), service="Ranking")
HEALTHY |= counted("tandem_generation_refused_total", steady(0), role="gateway")
HEALTHY |= lost("impressions", f"7x{MINUTES}") | lost("events", f"7x{MINUTES}")

ABSENT = "_"
ERRORS, LATENCY = "TandemErrorBudgetBurn", "TandemLatencyBudgetBurn"

FAULTS = {
    "nothing": ({}, []),
    "similar is slow": (requests("similar", seconds=0.2), ["TandemSlow similar"]),
    "events is slow": (requests("events", seconds=0.06), ["TandemSlow events"]),
    "similar fails": (failed("similar", steady(60)), ["TandemFailing similar"]),
    "a mode is slow": (slates("batch", seconds=0.06), ["TandemModeSlow batch"]),
    "a surface is slow": (slates("batch", 3, 0.045, "home"), ["TandemSurfaceSlow home"]),
    "a surface lacks a stage": (degraded(1, surface="home"), ["TandemSurfaceDegraded home"]),
    "slates lack a stage": (degraded(90), ["TandemDegraded"]),
    "a generation twice as old as promised": (aged("model", 345_600), ["TandemServedModelOld default"]),
    "lists that the flow stopped making": (aged("list", 173_000), ["TandemServedListOld default"]),
    "lists of a surface with its own promise": (aged("list", 1_000, "home"), ["TandemServedListOld home"]),
    "old trending items": (aged("trending", 1_900), ["TandemServedTrendingOld default"]),
    "too many requests": (degraded(90, "overload"), ["TandemOverloaded"]),
    "a worker is missing": (workers("alive", f"0x{MINUTES}", "Ranking"), ["TandemWorkersMissing"]),
    "a worker died": (increased("tandem_worker_deaths_total", service="Ranking"), ["TandemWorkerDied"]),
    "no gateway": (workers("wanted", ABSENT) | workers("alive", ABSENT), ["TandemAway"]),
    "a generation is refused": (
        increased("tandem_generation_refused_total", role="gateway"),
        ["TandemGenerationRefused"],
    ),
    "impressions are lost": (lost("impressions", f"7x{MINUTES - 5} 8x4"), ["TandemImpressionsLost"]),
    "events are lost": (lost("events", f"7x{MINUTES - 5} 8x4"), ["TandemEventsLost"]),
    "2 % fail": (failed("recommend", steady(120)), [f"{ERRORS} {each}" for each in ("1h", "3d", "6h")]),
    "20 % failed, until 10 minutes ago": (failed("recommend", late(1500, 20, 10)), [f"{ERRORS} 3d", f"{ERRORS} 6h"]),
    "0.8 % fail": (failed("recommend", steady(48)), [f"{ERRORS} 3d", f"{ERRORS} 6h"]),
    "0.2 % fail": (failed("recommend", steady(12)), [f"{ERRORS} 3d"]),
    "recommend is slow": (requests("recommend", seconds=0.26), [f"{LATENCY} {each}" for each in ("1h", "3d", "6h")]),
    "2 % are slow": (
        requests("recommend", 6000) | requests("recommend", 120, 0.4, code="OK"),
        [f"{LATENCY} 3d"],
    ),
}


@pytest.fixture(scope="module")
def rule_files(tmp_path_factory):
    """The committed rules, and those of docs/surfaces.md for the surface home."""
    folder = tmp_path_factory.mktemp("rules")
    for path in RULE_FILES:
        text = path.read_text()
        if path.name == "alerts.yaml":
            (folder / path.name).write_text(without_surface(text))
        elif path.name != "flow_alerts.yaml":
            (folder / path.name).write_text(text)
    (folder / "surfaces.yaml").write_text(surface_rules())
    return sorted(folder.glob("*.yaml"))


def rules(files):
    return [rule for path in files for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def about(labels):
    """What an alert is about: a verb, mode, surface or window."""
    return next((labels[key] for key in ("verb", "mode", "surface", "window") if key in labels), "")


def labels_of(name, labelled):
    """The labels of an alert that fires. The surface of a `TandemServed...` alert comes from the metric."""
    alert, _, surface = name.partition(" ")
    return labelled[alert] | {"surface": surface} if alert.startswith("TandemServed") else labelled[name]


def case(name, labelled):
    """A test of promtool: an hour and a half of metrics with a fault, and the alerts that fire at its end."""
    series, expected = FAULTS[name]
    firing = {
        "expr": 'count by (alertname, severity, verb, mode, surface, window) (ALERTS{alertstate="firing"})',
        "eval_time": f"{MINUTES - 1}m",
        "exp_samples": [{"labels": braced(labels_of(each, labelled)), "value": 1} for each in expected],
    }
    inputs = [{"series": each, "values": values} for each, values in (HEALTHY | series).items()]
    return {"name": name, "interval": "1m", "input_series": inputs, "promql_expr_test": [firing]}


def test_each_fault_fires_its_alert_alone(rule_files, tmp_path):
    """Of all rules those alerts fire. An error of promtool has the name of the fault."""
    labelled = {
        " ".join(filter(None, (rule["alert"], about(rule["labels"])))): {"alertname": rule["alert"], **rule["labels"]}
        for rule in rules(rule_files)
        if "alert" in rule
    }
    cases = [case(name, labelled) for name in FAULTS]
    file = tmp_path / "test.yaml"
    file.write_text(
        json.dumps({"rule_files": [str(path) for path in rule_files], "evaluation_interval": "1m", "tests": cases})
    )
    promtool("test", "rules", file)


def test_every_alert_has_a_fault_and_a_line_for_the_night(rule_files):
    """An alert that no fault above fires is untested; docs/monitoring.md says what to do."""
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    fired = {name.split()[0] for _, names in FAULTS.values() for name in names}
    assert fired == {rule["alert"] for rule in rules(rule_files) if "alert" in rule}
    assert not [name for name in fired if f"`{name}`" not in page]
