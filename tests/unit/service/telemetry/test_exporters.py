"""The exporter of traces, by the variables of OpenTelemetry."""

import os
import subprocess
import sys

import pytest

from service.telemetry import exporters
from tests.servers.deployment import ROOT

PACKAGE = """
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

class Exporter(SpanExporter):
    def export(self, spans):
        print("exported by {name}:", [span.name for span in spans], flush=True)
        return SpanExportResult.SUCCESS
"""

AWAY = """
import logging, time
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

class Exporter(SpanExporter):
    def export(self, spans):
        for attempt in range(20):
            logging.getLogger("opentelemetry.exporter.away").warning("No collector answers, attempt %d.", attempt)
            time.sleep(1)
        print("exported late", flush=True)
        return SpanExportResult.FAILURE
"""

WORKER = """
from service import wiring

provider = wiring.traces_of("gateway")
provider.get_tracer("tests").start_span("request").end()
print(provider.resource.attributes["service.name"], flush=True)
wiring.close_traces("gateway")
"""


@pytest.fixture
def provider(monkeypatch):
    """The provider of a setting, with these variables of OpenTelemetry and no others."""

    def made(setting, **variables):
        for name in (name for name in os.environ if name.startswith("OTEL_")):
            monkeypatch.delenv(name)
        for name, value in ({"OTEL_SEMCONV_STABILITY_OPT_IN": "http"} | variables).items():
            monkeypatch.setenv(name, value)
        return exporters.provider("tandem-gateway", setting)

    return made


def export(provider):
    """Export one span."""
    provider.get_tracer("tests").start_span("request").end()
    provider.shutdown()


def install(folder, *names):
    """Install a package with an exporter of each name, as pip does."""
    info = folder / "exporters_of_tests-1.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: exporters-of-tests\nVersion: 1\n")
    lines = "".join(f"{name} = package_{name}:Exporter\n" for name in names)
    info.joinpath("entry_points.txt").write_text(f"[{exporters.GROUP}]\n{lines}")
    for name in names:
        folder.joinpath(f"package_{name}.py").write_text(PACKAGE.replace("{name}", name))


def test_a_collector_that_is_away_delays_no_stop_and_fills_no_log(tmp_path):
    """The process ends before the export, and many warnings are one line."""
    install(tmp_path, "away")
    tmp_path.joinpath("package_away.py").write_text(AWAY)
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    env |= {"OTEL_TRACES_EXPORTER": "away", "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.stdout == "tandem-gateway\n"
    assert done.stderr == "OpenTelemetry: No collector answers, attempt 0.\n"
