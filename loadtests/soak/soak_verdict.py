"""Limits and verdict of the soak test: growth of memory and file descriptors, requests without a full answer."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from loadtests.processes.memory import Sample
from loadtests.slo import Line, Verdict
from loadtests.tally import Outcome, Tally

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
