"""The exporter of traces, by the variables of OpenTelemetry."""

import os
import subprocess
import sys

import pytest

from recsys.errors import SettingsError
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
if provider is None:
    print("off")
else:
    provider.get_tracer("tests").start_span("request").end()
    print(provider.resource.attributes["service.name"], flush=True)
    wiring.close_traces("gateway")
"""


def worker(**variables):
    """The standard output of a process that made one span and ended."""
    return run(**variables).stdout


def run(**variables):
    """A process that made one span and ended."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | variables
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def install(folder, *names):
    """Install a package with an exporter of each name, as pip does."""
    info = folder / "exporters_of_tests-1.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: exporters-of-tests\nVersion: 1\n")
    lines = "".join(f"{name} = package_{name}:Exporter\n" for name in names)
    info.joinpath("entry_points.txt").write_text(f"[{exporters.GROUP}]\n{lines}")
    for name in names:
        folder.joinpath(f"package_{name}.py").write_text(PACKAGE.replace("{name}", name))


@pytest.mark.parametrize("setting", ["", "none", " None ,"])
def test_traces_are_off_without_an_exporter(setting):
    """Off is the default."""
    assert exporters.provider("x", setting) is None


@pytest.mark.parametrize("protocol", ["", "smoke"])
def test_an_exporter_that_is_not_installed_is_an_error(protocol, monkeypatch):
    """One sentence with the fix."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setattr(exporters, "entry_points", lambda **_: ())
    with pytest.raises(SettingsError, match=r"pip install .* opentelemetry-exporter-otlp-proto-http or -proto-grpc"):
        exporters.check("console,otlp")


def test_the_command_ends_with_that_error(tmp_path):
    """The exit code is 1, with one line and no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "service", "check"],
        cwd=ROOT,
        env=os.environ | {"OTEL_TRACES_EXPORTER": "nowhere", "TANDEM_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("tandem: OTEL_TRACES_EXPORTER=nowhere needs an exporter that is not installed")
    assert len(done.stderr.splitlines()) == 1


def test_exporters_of_installed_packages_are_used(tmp_path):
    """By their registered names. `otlp` is the exporter of the protocol, or the installed one."""
    install(tmp_path, "zipkin", "otlp_proto_http", "otlp_proto_grpc")
    path = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    assert "exported by otlp_proto_http: ['request']" in worker(OTEL_TRACES_EXPORTER="otlp", **path)
    output = worker(OTEL_TRACES_EXPORTER="otlp,zipkin", OTEL_EXPORTER_OTLP_PROTOCOL="grpc", **path)
    assert "exported by otlp_proto_grpc" in output
    assert "exported by zipkin" in output


@pytest.mark.parametrize(
    ("variables", "printed"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, "off\n"),
        ({"OTEL_SERVICE_NAME": "shop", "OTEL_TRACES_SAMPLER": "always_off"}, "shop\n"),
    ],
)
def test_opentelemetry_s_other_variables_hold(variables, printed):
    """Those of the SDK, the name of the service, and the sampler."""
    assert worker(OTEL_TRACES_EXPORTER="console", **variables) == printed


def test_a_collector_that_is_away_delays_no_stop_and_fills_no_log(tmp_path):
    """The process ends before the export, and many warnings are one line."""
    install(tmp_path, "away")
    tmp_path.joinpath("package_away.py").write_text(AWAY)
    done = run(OTEL_TRACES_EXPORTER="away", PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert done.stdout == "tandem-gateway\n"
    assert done.stderr == "OpenTelemetry: No collector answers, attempt 0.\n"
