"""The report of `make soak`: whether anything grew."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from loadtests.arrivals import Shape
from loadtests.memory import Sample
from loadtests.report.of_load import failures, over_time, throughput
from loadtests.report.value import KINDS, Chart, Line, Report, Rule
from loadtests.report.words import broken, held
from loadtests.slo import Verdict
from loadtests.tally import Tally


def of_soak(
    verdict: Verdict, tally: Tally, samples: Sequence[Sample], swaps: Sequence[float], shape: Shape, byline: str
) -> Report:
    """swaps: seconds from the start."""
    return Report(
        "Soak test",
        byline,
        sentence(verdict, len(swaps)),
        verdict.held and not tally.generator_late,
        [
            held("What may grow in the second half, and what may fail", verdict.lines),
            _memory(samples, swaps),
            _descriptors(samples),
            over_time(tally, {}),
            throughput(tally, shape),
            *failures(tally),
        ],
    )


def sentence(verdict: Verdict, swaps: int) -> str:
    """The verdict, with what broke it."""
    told = f"{verdict.requests:,} requests and {swaps} swaps of the generation"
    if not verdict.held:
        return f"It did not hold over {told}: {broken(verdict.lines) or 'nothing was asked'}."
    return (
        f"It held over {told}: all processes together grew by {verdict.lines[0].measured:.1f} MiB in the second half."
    )


def _memory(samples: Sequence[Sample], swaps: Sequence[float]) -> Chart:
    roles = sorted({role for sample in samples for role in sample.pss})
    lines = [Line("all", "bad", [(sample.at, sample.memory) for sample in samples])]
    lines += [
        Line(role, kind, [(sample.at, sample.pss.get(role, 0.0)) for sample in samples])
        for role, kind in zip(roles, cycle(KINDS))
    ]
    lines.append(Line("swaps", "soft", [(at, 0.0) for at in swaps], joined=False))
    return Chart("Memory: pages shared out among those who map them", "seconds", "MiB", lines)


def _descriptors(samples: Sequence[Sample]) -> Chart:
    lines = [Line("file descriptors", "first", [(sample.at, float(sample.descriptors)) for sample in samples])]
    halves = [Rule("", samples[len(samples) // 2].at, "x", "soft")] if samples else []
    return Chart("Open files and sockets, but for clients' connections", "seconds", "", lines, rules=halves)
