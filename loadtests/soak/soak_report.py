"""Report of the soak test (`make soak`): charts of memory and file descriptors over a long run, and its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from loadtests.arrivals import Shape
from loadtests.processes.memory import Sample
from loadtests.report import broken, failures, judged, over_time, throughput
from loadtests.slo import Verdict
from loadtests.tally import Tally
from training.report.charts import BAD, SOFT, Chart, chart, limit
from training.report.page import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def soak_report(
    verdict: Verdict, tally: Tally, samples: Sequence[Sample], swaps: Sequence[float], shape: Shape, byline: str
) -> Report:
    """The report of a run. swaps: when the generation changed, seconds from the start."""
    return Report(
        "Soak test",
        byline,
        sentence(verdict, len(swaps)),
        verdict.held and not tally.generator_late,
        [
            judged("What may grow in the second half, and what may fail", verdict.lines),
            _memory(samples, swaps),
            _descriptors(samples),
            over_time(tally, {}),
            throughput(tally, shape),
            *failures(tally),
        ],
    )


def sentence(verdict: Verdict, swaps: int) -> str:
    """The verdict, with the lines that did not hold."""
    run = f"{verdict.requests:,} requests and {swaps} swaps of the generation"
    if not verdict.held:
        return f"The deployment did not hold over {run}: {broken(verdict.lines) or 'no request was counted'}."
    grown = verdict.lines[0].measured
    return f"The deployment held over {run}: all processes together grew by {grown:.1f} MiB in the second half."


def _memory(samples: Sequence[Sample], swaps: Sequence[float]) -> Chart:
    times, roles = [sample.at for sample in samples], sorted({role for sample in samples for role in sample.pss})

    def draw(axes: Axes) -> None:
        axes.plot(times, [sample.memory for sample in samples], color=BAD, label="all")
        for role in roles:
            axes.plot(times, [sample.pss.get(role, 0.0) for sample in samples], label=role)
        axes.plot(swaps, [0.0] * len(swaps), ".", color=SOFT, label="swaps")

    title = "Memory; a page that processes share is divided among them"
    return chart(title, draw, xlabel="seconds", ylabel="MiB", ylim=(0, None))


def _descriptors(samples: Sequence[Sample]) -> Chart:
    def draw(axes: Axes) -> None:
        axes.plot([sample.at for sample in samples], [sample.descriptors for sample in samples])
        if samples:
            limit(axes, "half of the run", samples[len(samples) // 2].at, "x", SOFT)

    title = "Open files and sockets, without the connections of clients"
    return chart(title, draw, xlabel="seconds", ylim=(0, None))
