"""Span exporters, by OpenTelemetry's own variables.

OpenTelemetry reads sampler, endpoint, headers, batches, resource and propagators from its OTEL_* variables.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points

from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from recsys.errors import SettingsError

VARIABLE = "OTEL_TRACES_EXPORTER"
GROUP = "opentelemetry_traces_exporter"
"""The entry point group of packages with exporters."""

CONSOLE = "console"
OTLP = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
"""Exporters of `otlp`, by protocol; without a protocol the first that is installed."""

PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def check(setting: str) -> None:
    """SettingsError names an exporter that is not installed; setting: names with commas between."""
    for name in names(setting):
        _exporter(name)


def provider(service: str, setting: str) -> TracerProvider | None:
    """The tracer provider of a process; None if traces are off.

    service: its name in traces, unless OTEL_SERVICE_NAME has one.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    wanted = names(setting)
    if not wanted:
        return None
    resource = Resource.create({SERVICE_NAME: service}).merge(OTELResourceDetector().detect())
    made = TracerProvider(resource=resource)
    for name in wanted:
        made.add_span_processor(BatchSpanProcessor(_exporter(name)()))
    return made


def names(setting: str) -> list[str]:
    """The names of the exporters in a setting; `none` is none."""
    return [name for each in setting.split(",") if (name := each.strip().lower()) not in ("", "none")]


def _exporter(name: str) -> Callable[[], SpanExporter]:
    """The factory of an exporter; SettingsError if no package has it."""
    if name == CONSOLE:
        return _console
    candidates = _otlp() if name == "otlp" else [name]
    found = [each for candidate in candidates for each in entry_points(group=GROUP, name=candidate)]
    if not found:
        raise SettingsError(_missing(name, candidates))
    return _loaded(found[0])


def _otlp() -> Sequence[str]:
    protocol = next((name for variable in PROTOCOLS if (name := os.environ.get(variable, "").strip())), None)
    if protocol is None:
        return list(OTLP.values())
    if protocol not in OTLP:
        raise SettingsError(f"The OTLP protocol is {protocol!r}; choose one of {', '.join(OTLP)}.")
    return [OTLP[protocol]]


def _missing(name: str, candidates: Sequence[str]) -> str:
    if candidates[0] in OTLP.values():
        package = f"opentelemetry-exporter-{candidates[0].replace('_', '-')}"
        cure = f"pip install {package} (in the bento too)"
    else:
        there = sorted({CONSOLE, *(each.name for each in entry_points(group=GROUP))})
        cure = f"install the package that has it, or choose one of {', '.join(there)}"
    return f"{VARIABLE}={name} needs an exporter that is not installed: {cure}, or leave {VARIABLE} out."


def _loaded(found: EntryPoint) -> Callable[[], SpanExporter]:
    try:
        made: Callable[[], SpanExporter] = found.load()
    except ImportError as error:
        raise SettingsError(f"{VARIABLE}: {found.value} can't be imported: {error}.") from error
    return made


def _console() -> SpanExporter:
    """One line of JSON for each span on standard output, in one write: other processes write there too."""

    def line(span: ReadableSpan) -> str:
        return str(span.to_json(indent=None)) + "\n"

    out = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8", write_through=True)
    return ConsoleSpanExporter(out=out, formatter=line)
