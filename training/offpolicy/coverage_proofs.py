"""`python -m training.offpolicy.coverage_proofs` (`make proofs`): do off-policy estimates hold what they promise?

Random policies are judged by the log of another policy, in a simulation with a known truth. The intervals of 95 % must
contain the true reward in 93 % of the judged policies, the doubly robust estimate must have a smaller error than IPS,
and a policy that shows what the log never does must be refused. Exit code 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from recsys.types import F64
from training.evaluation.verdicts import Estimate, Judgement, Refusal
from training.offpolicy import estimators
from training.offpolicy.explored_slates import ExploredSlates
from training.offpolicy.policy_judgement import judge
from training.offpolicy.simulated_shops import ITEMS, LOGGED, Policy, Visits, log, random_policy, true_rewards

USERS, VISITS, TRUE_USERS = 3_000, 2, 40_000
"""Users of a log, visits of each, and users for the truth, whose error is 0.002 clicks."""

COVERED = 0.93

ALL = {
    "IPS": estimators.inverse_propensity,
    "self-normalised": estimators.self_normalised,
    "doubly robust": estimators.doubly_robust,
}

SINGLE_PLACE = "IPS, each place alone"
"""Weights of one place, without those before: shown in the table to say why no estimate uses them."""


DIFFERENCE = "difference"
"""Of the doubly robust estimate to the logged reward."""


@dataclass
class ErrorsAndCoverage:
    """By the name of the estimate: its errors, and whether its interval contains the truth, of each policy."""

    errors: dict[str, list[float]] = field(default_factory=dict)
    covered: dict[str, list[bool]] = field(default_factory=dict)

    def add(self, found: dict[str, Estimate], truth: float) -> None:
        """Add the estimates of one policy."""
        for name, each in found.items():
            self.errors.setdefault(name, []).append(each.value - truth)
            self.covered.setdefault(name, []).append(each.low <= truth <= each.high)

    def coverage(self, name: str) -> float:
        """The share of the policies whose interval contains the truth."""
        return float(np.mean(self.covered[name]))

    def error(self, name: str) -> float:
        """The root of the mean squared error."""
        return float(np.sqrt(np.mean(np.square(self.errors[name]))))


@dataclass
class Outcome:
    """Of the judged policies at their judged places, and of those with another ranker among them.

    unjudged: of all places, of policies that are judged at fewer or at none. escaped: policies without overlap that
    were judged.
    """

    judged: ErrorsAndCoverage = field(default_factory=ErrorsAndCoverage)
    other_ranker: ErrorsAndCoverage = field(default_factory=ErrorsAndCoverage)
    unjudged: ErrorsAndCoverage = field(default_factory=ErrorsAndCoverage)
    escaped: int = 0


def simulate(policies: int, seed: int) -> Outcome:
    """Judge random policies, each by a log of its own, until so many are judged; and a tenth without overlap.

    Every second policy mixes in the scores of another ranker.
    """
    outcome, random = Outcome(), np.random.default_rng(seed)
    logged, number = true_rewards(LOGGED, TRUE_USERS, random), 0
    while len(outcome.judged.errors.get("IPS", ())) < policies:
        number += 1
        policy = replace(random_policy(random), other=random.uniform(0, 1) if number % 2 else 0.0)
        _judge_one(outcome, policy, logged, random)
    half = np.arange(ITEMS) < ITEMS // 2
    for place in range(policies // 10):
        target = replace(random_policy(random), only=half if place % 2 else None)
        slates = log(Visits.drawn(USERS, VISITS, random), replace(LOGGED, only=~half), target, random)
        outcome.escaped += isinstance(judge(slates), Judgement)
    return outcome


def _judge_one(outcome: Outcome, policy: Policy, logged: F64, random: np.random.Generator) -> None:
    """Add the estimates of a policy. logged: the true rewards of the logged policy by place."""
    slates = log(Visits.drawn(USERS, VISITS, random), LOGGED, policy, random)
    truths, found = true_rewards(policy, TRUE_USERS, random), judge(slates)
    if isinstance(found, Refusal) or found.places < len(truths):
        outcome.unjudged.add({name: estimate(slates) for name, estimate in ALL.items()}, truths.sum())
    if isinstance(found, Refusal):
        return
    judged, truth = slates.first(found.places), truths[: found.places].sum()
    estimates = {name: estimate(judged) for name, estimate in ALL.items()} | {SINGLE_PLACE: _alone(judged)}
    for of in (outcome.judged, *([outcome.other_ranker] if policy.other else [])):
        of.add(estimates, truth)
        of.add({DIFFERENCE: found.difference}, truth - logged[: found.places].sum())


def faults(outcome: Outcome) -> list[str]:
    """The broken promises."""
    judged = outcome.judged
    found = [
        f"The intervals of {name} contain the truth in {judged.coverage(name):.1%}, below {COVERED:.0%}."
        for name in (*ALL, DIFFERENCE)
        if judged.coverage(name) < COVERED
    ]
    if judged.error("doubly robust") >= judged.error("IPS"):
        found.append("The doubly robust estimate has no smaller error than IPS.")
    if outcome.escaped:
        found.append(f"{outcome.escaped} policies were judged by a log that does not show their items.")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.offpolicy.coverage_proofs", description=__doc__)
    parser.add_argument("--policies", type=int, default=300, help="that are judged; default: 300")
    parser.add_argument("--seed", type=int, default=46)
    options = parser.parse_args(arguments)
    outcome = simulate(options.policies, options.seed)
    table = Table("policies", "", "estimate", "covered", "error")
    kinds = {
        "judged": outcome.judged,
        "with another ranker": outcome.other_ranker,
        "all places of the others": outcome.unjudged,
    }
    for name, misses in kinds.items():
        for estimate, errors in misses.errors.items():
            covered = f"{misses.coverage(estimate):.1%}"
            table.add_row(name, str(len(errors)), estimate, covered, f"{misses.error(estimate):.4f}")
    console, broken = Console(), faults(outcome)
    console.print(table)
    console.print("\n".join(broken) or "Every promise holds.", soft_wrap=True)
    return 1 if broken else 0


def _alone(slates: ExploredSlates) -> Estimate:
    return estimators.mean_of((slates.target / slates.logged * slates.rewards).sum(axis=1), slates.users)


if __name__ == "__main__":
    sys.exit(main())
