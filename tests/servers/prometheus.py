"""Runs Debian's Prometheus and promtool for tests (`apt-get install prometheus`), which skip where they are absent."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from recsys.process import parent_death
from tests.servers.deployment import ROOT, free_port, wait_for

CONFIGURATION = ROOT / "deploy" / "prometheus" / "prometheus.yaml"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"

RULE_FILES = [CONFIGURATION.parent / name for name in yaml.safe_load(CONFIGURATION.read_text())["rule_files"]]
RULES: dict[str, Any] = {path.name: yaml.safe_load(path.read_text()) for path in RULE_FILES}
"""The committed files of rules, by name."""

FLOW_ALERTS = CONFIGURATION.parent / "flow_alerts.yaml"


def alerts() -> list[dict[str, Any]]:
    """The rules of all files that alert."""
    groups = [group for file in RULES.values() for group in file["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def surface_rules() -> str:
    """The rules that docs/surfaces.md shows for a surface with a promise of its own: home."""
    page = (ROOT / "docs" / "surfaces.md").read_text(encoding="utf-8")
    return page.partition("```yaml\n")[2].partition("```")[0]


def without_surface(rules: str) -> str:
    """The text of the common rules without the lists of the surface home, as docs/surfaces.md says."""
    assert rules.count('part="list"') == 2
    return rules.replace('part="list"', 'part="list",surface!~"home"')


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`; without the program the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on PATH: apt-get install prometheus")
    return found


def promtool(*arguments: str | Path) -> str:
    """The output of a promtool command; AssertionError with the output if the command fails."""
    done = subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def queries(dashboard: dict[str, Any]) -> list[tuple[str, str]]:
    """The title of the panel and the expression of each query of a Grafana dashboard."""
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]


class Prometheus:
    """Prometheus with the committed configuration, while it is entered.

    It scrapes one gateway, and evaluates the rules, each second.
    """

    def __init__(self, home: Path, gateway: str, rules: Mapping[str, str] | None = None) -> None:
        """gateway: host and port. rules: texts in place of committed files of rules, by the file's name."""
        self._home, self._gateway, self._rules = home, gateway, rules or {}
        self._program, self._address = program("prometheus"), f"127.0.0.1:{free_port()}"

    def __enter__(self) -> Prometheus:
        configuration = yaml.safe_load(CONFIGURATION.read_text())
        configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        [job] = configuration["scrape_configs"]
        job["static_configs"] = [{"targets": [self._gateway]}]
        self._home.mkdir()
        for name in configuration["rule_files"]:
            rules = yaml.safe_load(self._rules.get(name) or (CONFIGURATION.parent / name).read_text())
            groups = [{key: group[key] for key in group if key != "interval"} for group in rules["groups"]]
            (self._home / name).write_text(yaml.safe_dump({"groups": groups}))
        file, log = self._home / "prometheus.yaml", self._home / "log"
        file.write_text(yaml.safe_dump(configuration))
        paths = [f"--config.file={file}", f"--storage.tsdb.path={self._home / 'data'}"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [self._program, *paths, f"--web.listen-address={self._address}"],
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=parent_death.preexec(),
            )
        wait_for(lambda: self.values("up"))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def values(self, expr: str) -> list[float]:
        """The value of each series of an expression now; empty while Prometheus starts."""
        return [float(series["value"][1]) for series in self._series(expr)]

    def firing(self) -> set[str]:
        """The alerts that fire now: each the name and the surface, if it has one."""
        series = self._series('ALERTS{alertstate="firing"}')
        return {" ".join(filter(None, map(each["metric"].get, ("alertname", "surface")))) for each in series}

    def _series(self, expr: str) -> list[dict[str, Any]]:
        try:
            answer = httpx.get(f"http://{self._address}/api/v1/query", params={"query": expr}, timeout=30)
        except httpx.TransportError:
            return []
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return []
        assert answer.is_success, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found
