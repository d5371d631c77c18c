"""Verdict and report of the soak test (`make soak`): growth of memory and descriptors, requests without an answer."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from loadtests.arrivals import Shape
from loadtests.processes.usage import Sample
from loadtests.report import failures, over_time, throughput
from loadtests.slo import Line, Verdict, broken, judged
from loadtests.tally import Outcome, Tally
from training.report.charts import BAD, SOFT, Chart, chart, limit
from training.report.page import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEMORY_MIB = 20.0
"""Limit of the growth of all processes together in the second half of a run."""

DESCRIPTORS = 10
"""Limit of their growth; one that leaks at each of fifty swaps is 25 in the second half."""

NOT_WHOLE = 0.05
"""Share of the requests: a deployment that refuses every request shows no leak."""

FEWEST = 20
"""Samples below which a growth counts as infinite."""


def growth(samples: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    """The median over the last tenth above that over the tenth in the middle; infinite where samples are too few."""
    if len(samples) < FEWEST:
        return float("inf")
    tenth = len(samples) // 10
    start = (len(samples) - tenth) // 2
    middle, last = samples[start : start + tenth], samples[-tenth:]
    return statistics.median(map(value, last)) - statistics.median(map(value, middle))


def judge(tally: Tally, requests: int, samples: Sequence[Sample], missed: int) -> Verdict:
    """Judge a run. requests: of the options. missed: swaps that the deployment did not follow."""
    errors = sum(count for word, count in tally.words.items() if word.startswith("status 5"))
    return Verdict(
        tally.count(),
        [
            Line("memory MiB", MEMORY_MIB, growth(samples, lambda each: each.memory)),
            Line("descriptors", DESCRIPTORS, growth(samples, lambda each: each.descriptors)),
            Line("5xx", 0, errors),
            Line("failures", 0, tally.count(Outcome.FAILED) + tally.failed_clicks),
            Line("not whole", NOT_WHOLE, tally.share(Outcome.DEGRADED, Outcome.REJECTED)),
            Line("swaps missed", 0, missed),
            Line("not sent", 0.05 * requests, requests - tally.count()),  # random arrivals are never exactly as many
        ],
    )


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
