"""Where traces go, by OpenTelemetry's variables."""

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from opentelemetry.sdk.trace.export import SpanExporter

from recsys.errors import SettingsError
from service.telemetry import exporters
from tests.deployment import ROOT

PACKAGE = """
import pathlib
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

class Exporter(SpanExporter):
    def export(self, spans):
        print("exported by {name}:", [span.name for span in spans], flush=True)
        return SpanExportResult.SUCCESS
"""

WORKER = """
from service import wiring
from opentelemetry import trace

{before}
tracer = wiring.tracer("gateway")
if tracer is None:
    print("off")
else:
    with tracer.request("asked", {{}}, {{}}):
        pass
    print(tracer._provider.resource.attributes["service.name"], flush=True)
    tracer.close()
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """Whoever runs the tests may trace."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


def worker(before="", **variables):
    """What a process prints that makes one span and ends."""
    env = {name: told for name, told in os.environ.items() if not name.startswith("OTEL_")} | variables
    done = subprocess.run(
        [sys.executable, "-c", WORKER.format(before=before)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def install(folder, *names):
    """Packages that bring an exporter of each name, as pip would leave them."""
    info = folder / "exporter_of_ours-1.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: exporter-of-ours\nVersion: 1\n")
    lines = "".join(f"{name} = brings_{name}:Exporter\n" for name in names)
    info.joinpath("entry_points.txt").write_text(f"[{exporters.GROUP}]\n{lines}")
    for name in names:
        folder.joinpath(f"brings_{name}.py").write_text(PACKAGE.replace("{name}", name))


@pytest.mark.parametrize("told", ["", "none", " None ,"])
def test_nothing_is_asked_for(told):
    """Off is the default."""
    exporters.check(told)
    assert exporters.provider("x", told) is None


@pytest.mark.parametrize(
    ("told", "variables", "names"),
    [
        ("otlp", {}, "pip install opentelemetry-exporter-otlp-proto-http"),
        ("console,otlp", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "pip install opentelemetry-exporter-otlp-proto-grpc"),
        ("otlp", {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "smoke"}, "choose one of http/protobuf, grpc"),
        ("zipking", {}, "choose one of console"),
    ],
)
def test_an_exporter_that_is_not_there_is_told(told, variables, names, monkeypatch):
    """In one sentence, with the cure, before anything starts."""
    monkeypatch.setattr(exporters, "entry_points", lambda **_: ())
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        exporters.check(told)
    assert names in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_exporter_that_lacks_something_is_told(monkeypatch):
    """Its package was installed without what it needs."""
    broken = EntryPoint("zipkin", "brings_nothing:Exporter", exporters.GROUP)
    monkeypatch.setattr(exporters, "entry_points", lambda **_: [broken])
    with pytest.raises(SettingsError, match=r"brings_nothing:Exporter can't be imported: No module"):
        exporters.check("zipkin")


def test_the_command_says_so_too(tmp_path):
    """Exit code 1, one line, no traceback."""
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


def test_what_packages_bring_is_used(tmp_path):
    """By the names they register; behind `otlp` stands whichever is installed, or the protocol's."""
    install(tmp_path, "zipkin", "otlp_proto_http", "otlp_proto_grpc")
    path = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    assert "exported by zipkin: ['asked']" in worker(OTEL_TRACES_EXPORTER="zipkin", **path)
    assert "exported by otlp_proto_http: ['asked']" in worker(OTEL_TRACES_EXPORTER="otlp", **path)
    told = worker(OTEL_TRACES_EXPORTER="otlp,zipkin", OTEL_EXPORTER_OTLP_PROTOCOL="grpc", **path)
    assert "exported by otlp_proto_grpc" in told
    assert "exported by zipkin" in told


def test_the_console_has_a_line_for_each_span():
    """Of JSON, with the service's name."""
    line, name = worker(OTEL_TRACES_EXPORTER="console").splitlines()[::-1]
    assert json.loads(line)["name"] == "asked"
    assert json.loads(line)["resource"]["attributes"]["service.name"] == name == "tandem-gateway"


@pytest.mark.parametrize(
    ("variables", "printed"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, "off\n"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "tandem-gateway\n"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, "tandem-gateway\n"),
        ({"OTEL_SERVICE_NAME": "shop", "OTEL_TRACES_SAMPLER": "always_off"}, "shop\n"),
    ],
)
def test_opentelemetry_s_other_variables_hold(variables, printed):
    """Disabled is off; what the sampler leaves out is not exported; a name of one's own comes before ours."""
    assert worker(OTEL_TRACES_EXPORTER="console", **variables) == printed


def test_the_console_s_is_an_exporter():
    """As the SDK takes one."""
    assert isinstance(exporters._console(), SpanExporter)
