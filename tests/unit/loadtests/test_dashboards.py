"""The rules and dashboards of deploy/ are what the code writes, and the dashboards query metrics of the service."""

import json
import re
from dataclasses import replace

import yaml
from prometheus_client import REGISTRY

from loadtests.monitoring.__main__ import DASHBOARDS, files
from loadtests.monitoring.burn_rates import FILE
from loadtests.slo import Promises
from tests.servers.prometheus import queries


def test_the_files_are_up_to_date():
    """After a change of slo.toml, of a rule or of a dashboard, run `python -m loadtests.monitoring`."""
    written = files(replace(Promises.read(), surfaces={}))
    assert {*DASHBOARDS.glob("*.json")} < written.keys()
    for path, text in written.items():
        assert path.read_text(encoding="utf-8") == text, path.name


def test_every_query_is_of_a_metric_that_exists():
    """Metrics of the service, shares that burn_rates.yaml records, and what Prometheus makes by itself."""
    exported = {metric.name for metric in REGISTRY.collect()}
    groups = yaml.safe_load(FILE.read_text())["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    for path in DASHBOARDS.glob("*.json"):
        for title, expr in queries(json.loads(path.read_text())):
            used = {re.sub(r"_(total|count|bucket|sum)$", "", each) for each in re.findall(r"tandem[_:][\w:]+", expr)}
            assert used or "up{" in expr or "ALERTS{" in expr, title
            assert used <= exported | recorded, title


def test_panels_have_a_source_a_title_and_a_name_for_each_query():
    """Grafana shows an error for a panel whose source is not provisioned."""
    source = yaml.safe_load((DASHBOARDS.parent / "provisioning" / "datasources" / "prometheus.yaml").read_text())
    for path in DASHBOARDS.glob("*.json"):
        panels = [each for each in json.loads(path.read_text())["panels"] if each["type"] != "row"]
        assert len({each["title"] for each in panels}) == len(panels)
        for panel in panels:
            assert panel["datasource"]["uid"] == source["datasources"][0]["uid"]
            names = [target["refId"] for target in panel["targets"]]
            assert len(set(names)) == len(names) > 0


def test_prometheus_is_given_every_file_of_rules():
    """A file of rules that the configuration does not name is never evaluated."""
    folder = FILE.parent
    configuration = yaml.safe_load((folder / "prometheus.yaml").read_text())
    assert {path.name for path in folder.glob("*.yaml")} == {*configuration["rule_files"], "prometheus.yaml"}
