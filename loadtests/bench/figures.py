"""Figures that the benchmarks share: the machine, ranges over repeated runs, entries and CPU ratios of bench.json."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from loadtests.bench.peers.servers import PEERS
from loadtests.bench.point import Point


def machine() -> dict[str, Any]:
    """The machine of the measurement."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return {"cpus": os.cpu_count(), "model": model, "python": platform.python_version()}


def cores() -> str:
    """The machine, for the byline of a report."""
    on = machine()
    return f"{on['cpus']} cores ({on['model']}) for server, store and generator"


def spread(values: Sequence[float], spec: str) -> str:
    """The least and the most, or one figure where both are equal."""
    low, high = f"{min(values):{spec}}", f"{max(values):{spec}}"
    return low if low == high else f"{low}-{high}"


def rows(points: Sequence[Point], p99_ms: float) -> list[dict[str, Any]]:
    """A row of bench.json for each point."""
    found = []
    for point in points:
        variables = PEERS[point.peer].variables
        topology = variables.get("TANDEM_TOPOLOGY")
        batching = "on" if topology else None
        system = {"system": "tandem" if topology else point.peer, "topology": topology, "batching": batching}
        times = {"p50_ms": point.percentile(0.5), "p99_ms": point.percentile(0.99)} if point.whole else {}
        load = {"peer": point.peer, "door": "http", "rate": point.rate, "pass": point.number}
        found.append({**system, **load, **times, "cpu_ms_per_request": point.cpu_ms, "held": point.held(p99_ms)})
    return found


def held(points: Sequence[Point], peer: str, rate: float, p99_ms: float) -> dict[int, Point]:
    """The points of a peer and a rate that held, by pass."""
    return {p.number: p for p in points if p.peer == peer and p.rate == rate and p.held(p99_ms)}


def cpu_ratios(points: Sequence[Point], first: str, other: str, rate: float, p99_ms: float) -> list[float]:
    """How many times the CPU of the first peer another peer takes, in each pass that both held."""
    ours, theirs = held(points, first, rate, p99_ms), held(points, other, rate, p99_ms)
    return [theirs[number].cpu_ms / ours[number].cpu_ms for number in theirs if number in ours]


def cpu_ratio_medians(
    points: Sequence[Point], peers: Sequence[str], rates: Sequence[float], p99_ms: float
) -> dict[str, float]:
    """The CPU of a peer over ours, by "cpu.<ours>.<peer>.<rate>"; above 1 is better for us."""
    return {
        f"cpu.{ours}.{other}.{rate:g}": statistics.median(ratios)
        for ours, other in _pairs(peers)
        for rate in rates
        if (ratios := cpu_ratios(points, ours, other, rate, p99_ms))
    }


def knee_ratio_medians(knees: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Our highest rate that holds over a peer's, by "rate.<ours>.<peer>"."""
    return {
        f"rate.{ours}.{other}": statistics.median(ratios)
        for ours, other in _pairs([*knees])
        if (ratios := [a / b for a, b in zip(knees[ours], knees[other], strict=True) if b])
    }


def _pairs(peers: Sequence[str]) -> list[tuple[str, str]]:
    """Each of our topologies with each other peer."""
    ours = [name for name in peers if "TANDEM_TOPOLOGY" in PEERS[name].variables]
    return [(name, other) for name in ours for other in peers if other != name]
