"""What bench.json says: rows by system, topology and rate, and ratios that are better for us above 1."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from loadtests.bench.peers.servers import PEERS
from loadtests.bench.point import Point
from loadtests.bench.reports.of_bench import cpu_ratios


def machine() -> dict[str, Any]:
    """What it was measured on."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return {"cpus": os.cpu_count(), "model": model, "python": platform.python_version()}


def cores() -> str:
    """For the byline of a report."""
    on = machine()
    return f"{on['cpus']} cores ({on['model']}) for server, store and generator"


def rows(points: Sequence[Point], p99_ms: float) -> list[dict[str, Any]]:
    """One for each point."""
    told = []
    for point in points:
        variables = PEERS[point.peer].variables
        topology = variables.get("TANDEM_TOPOLOGY")
        batching = None if topology is None else "off" if variables.get("TANDEM_MAX_BATCH") == "1" else "on"
        system = {"system": "tandem" if topology else point.peer, "topology": topology, "batching": batching}
        times = {"p50_ms": point.percentile(0.5), "p99_ms": point.percentile(0.99)}
        if not point.whole:
            times = {}
        asked = {"peer": point.peer, "door": PEERS[point.peer].door, "rate": point.rate, "pass": point.number}
        told.append({**system, **asked, **times, "cpu_ms_per_request": point.cpu_ms, "held": point.held(p99_ms)})
    return told


def cpu_ratio_medians(
    points: Sequence[Point], peers: Sequence[str], rates: Sequence[float], p99_ms: float
) -> dict[str, float]:
    """By "cpu.<ours>.<peer>.<rate>": how many times ours a peer takes; above 1 is better for us."""
    found = {}
    for ours in [name for name in peers if "TANDEM_TOPOLOGY" in PEERS[name].variables]:
        for other in [name for name in peers if name != ours]:
            for rate in rates:
                if ratios := cpu_ratios(points, ours, other, rate, p99_ms):
                    found[f"cpu.{ours}.{other}.{rate:g}"] = statistics.median(ratios)
    return found


def knee_ratio_medians(knees: dict[str, list[float]]) -> dict[str, float]:
    """By "rate.<ours>.<peer>": our highest rate that holds over a peer's."""
    found = {}
    for ours in [name for name in knees if "TANDEM_TOPOLOGY" in PEERS[name].variables]:
        for other in [name for name in knees if name != ours]:
            pairs = [a / b for a, b in zip(knees[ours], knees[other], strict=True) if b]
            if pairs:
                found[f"rate.{ours}.{other}"] = statistics.median(pairs)
    return found
