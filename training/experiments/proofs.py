"""`python -m training.experiments.proofs` (`make proofs`): do the statistics of experiments hold what they promise?

Thousands of experiments are simulated with a look on each of 60 days. Without a difference between the groups, at most
5 % of the experiments may show one at any look, and at most 1 % a broken sample ratio. With a difference, the interval
contains it at all looks in 95 % of the experiments. Exit code 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from recsys.types import F64, Bool
from training.experiments import confidence_sequence, sample_ratio
from training.experiments.confidence_sequence import LEAST_TAKEN, LEAST_USERS
from training.experiments.ratio import Lift, Moments, adjusted, lift, ratio
from training.experiments.simulation import Drawn, Population, draw

POPULATIONS = (
    Population("half of 2,000 users, 10 % clicks", 2_000, 0.5, 0.1, 0.3),
    Population("half of 400 users, 10 % clicks", 400, 0.5, 0.1, 0.3),
    Population("5 % of 4,000 users, 5 % clicks", 4_000, 0.05, 0.05, 0.3),
    Population("half of 6,000 users, 30 % clicks", 6_000, 0.5, 0.3, 0.1),
)
"""Without a difference; each is drawn again with LIFT."""

LIFT, NORMAL = 0.1, 1.959963985
"""The known lift, and the standard errors of an interval of 95 % that is valid for one look."""

AT_ONCE = 20
"""Experiments of a batch: 6,000 users on 60 days take 58 MB an array."""

HEADER = ("population", "lift", "CUPED", "judged", "missed", "shown", "on day", "one look", "ratio", "seconds")


@dataclass(frozen=True)
class Looks:
    """Of experiments, [E] each. missed: whether the interval of some look leaves the true lift out. shown: whether one
    shows a difference; naive: the same of an interval for one look. refused: whether some look refuses the sample
    ratio. day: of the first look that shows a difference. judged: whether a look had enough users and clicks.
    """

    missed: Bool
    shown: Bool
    naive: Bool
    refused: Bool
    day: F64
    judged: Bool

    @classmethod
    def joined(cls, batches: Sequence[Looks]) -> Looks:
        """The looks of all batches."""
        return cls(*(np.concatenate([getattr(batch, each.name) for batch in batches]) for each in fields(cls)))


def main(arguments: list[str] | None = None) -> int:
    """Simulate, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.experiments.proofs", description=__doc__)
    parser.add_argument("--experiments", type=int, default=2_000, help="of each row; default: 2000")
    parser.add_argument("--seed", type=int, default=44)
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 130)
    table, broken = Table(*HEADER), []
    for population in (changed for each in POPULATIONS for changed in (each, replace(each, lift=LIFT))):
        console.print(f"{population.name}, lift {population.lift:.0%} ...", highlight=False)
        start = time.monotonic()
        plain, cuped = simulate(population, options.experiments, np.random.default_rng(options.seed))
        for looks, name in ((plain, "no"), (cuped, "yes")):
            row = population.name, f"{population.lift:.0%}", name
            table.add_row(*row, *_cells(looks), f"{time.monotonic() - start:.0f}")
            broken += [f"{', '.join(row)}: {fault}" for fault in faults(looks, population.lift)]
    console.print(table)
    console.print("\n".join(broken) or "Every promise holds.", soft_wrap=True)
    return 1 if broken else 0


def simulate(population: Population, experiments: int, random: np.random.Generator) -> tuple[Looks, Looks]:
    """The looks at experiments of a population, without and with CUPED."""
    batches = [look(draw(population, AT_ONCE, random), population) for _ in range(-(-experiments // AT_ONCE))]
    plain, cuped = zip(*batches, strict=True)
    return Looks.joined(plain), Looks.joined(cuped)


def faults(looks: Looks, true: float) -> list[str]:
    """The broken promises of a row, with an allowance of two standard errors each."""
    found = []
    for name, share, most in (
        ("the interval leaves the lift out", looks.missed.mean(), confidence_sequence.ALPHA),
        ("a difference is shown where there is none", 0.0 if true else looks.shown.mean(), confidence_sequence.ALPHA),
        ("the sample ratio is refused", looks.refused.mean(), sample_ratio.ALPHA),
    ):
        if share > most + 2 * math.sqrt(most * (1 - most) / len(looks.missed)):
            found.append(f"{name} in {share:.1%} of the experiments, above {most:.0%}.")
    return found


def look(drawn: Drawn, population: Population) -> tuple[Looks, Looks]:
    """All looks at some experiments, without and with CUPED."""
    groups = [_moments(drawn, members) for members in (~drawn.arm, drawn.arm)]
    users = np.stack([group.count for group in groups], axis=-1)
    clicks = np.stack([group.count * group.mean[..., 0] for group in groups], axis=-1)
    enough = ((users >= LEAST_USERS) & (clicks >= LEAST_TAKEN)).min(axis=-1)
    factor = sample_ratio.log_factor(users, [1 - population.share, population.share])
    refused = _any_look(factor > -math.log(sample_ratio.ALPHA))
    with np.errstate(all="ignore"):  # before the first clicks
        control, arm = map(ratio, groups)
        size = groups[1].count * groups[1].mean[..., 1] / (groups[0].count * groups[0].mean[..., 1])
        few = ~enough & (users.min(axis=-1) >= LEAST_USERS) & (clicks[..., 0] * np.minimum(size, 1) >= LEAST_TAKEN)
        of_few = confidence_sequence.interval_of_few(control, arm, size)
        found = [lift(control, arm), lift(*adjusted(*groups))]
        bounds = [np.where(few, of_few, confidence_sequence.interval(each)) for each in found]
        judged = [
            _judged(each, (*both, enough | few), population.lift, refused)
            for each, both in zip(found, bounds, strict=True)
        ]
    return judged[0], judged[1]


def _moments(drawn: Drawn, members: Bool) -> Moments:
    """The moments of a group at each look, [E, DAYS]. A user counts from the first slate on."""
    days = []
    for day in range(drawn.slates.shape[-1]):
        now = np.stack([drawn.clicks[..., day], drawn.slates[..., day]], axis=-1)
        days.append(Moments.of(np.concatenate([now, drawn.before], axis=-1), members & (now[..., 1] > 0)))
    return Moments(*(np.stack([getattr(each, name.name) for each in days], axis=1) for name in fields(Moments)))


def _judged(found: Lift, bounds: tuple[F64, F64, Bool], true: float, refused: Bool) -> Looks:
    """bounds: the interval of each look, [E, DAYS], and whether there are enough users and clicks for it."""
    low, high, enough = bounds
    shown = enough & ((low > 0) | (high < 0))
    return Looks(
        missed=_any_look(enough & ((low > true) | (high < true))),
        shown=_any_look(shown),
        naive=_any_look(enough & (abs(found.log) > NORMAL * found.error)),
        refused=refused,
        day=np.where(_any_look(shown), shown.argmax(axis=-1) + 1.0, np.nan),
        judged=_any_look(enough),
    )


def _any_look(looks: Bool) -> Bool:
    """Whether something is true of a look of each experiment, [E]. looks: [E, DAYS]."""
    return np.asarray(looks.any(axis=-1))


def _cells(looks: Looks) -> list[str]:
    shares = [f"{part.mean():.1%}" for part in (looks.judged, looks.missed, looks.shown)]
    day = f"{np.nanmedian(looks.day):.0f}" if looks.shown.any() else ""
    return [*shares, day, f"{looks.naive.mean():.1%}", f"{looks.refused.mean():.1%}"]


if __name__ == "__main__":
    sys.exit(main())
