"""The result for a target policy: estimates of its reward with intervals, or why there are none.

It imports no numpy, so that the gate and the pages read it without the estimators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean reward of a slate, with the bounds of its interval. error: the standard error."""

    value: float
    low: float
    high: float
    error: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much the log shows of a target policy.

    effective_users: at each place of the longest slate, how many users of equal weight would say as much about the
    places up to it. outside: at each place, the target's probability of items that the log can't show there.
    """

    effective_users: tuple[float, ...] = ()
    outside: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The reward of the first `places` places of a slate under the logged policy and under the target.

    difference: of the doubly robust estimate to the logged reward, paired by slate.
    """

    logged: Estimate
    inverse_propensity: Estimate
    self_normalised: Estimate
    doubly_robust: Estimate
    difference: Estimate
    places: int
    overlap: Overlap

    @property
    def scope(self) -> str:
        """The judged places in words."""
        longest = len(self.overlap.effective_users)
        return f"place 1 of {longest}" if self.places == 1 else f"places 1 to {self.places} of {longest}"

    @property
    def outside(self) -> float:
        """The target's probability of items that the log can't show at the judged places."""
        return sum(self.overlap.outside[: self.places]) / self.places


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no estimate, as a sentence."""

    sentence: str
    overlap: Overlap = Overlap()


@dataclass(frozen=True, slots=True)
class ArmJudgement:
    """The result for an arm. slates, users: that were judged. left_out: slates by reason.

    inactive: a sentence on each rule of the arm without effect.
    """

    found: Judgement | Refusal
    slates: int
    users: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    inactive: Sequence[str] = ()

    @property
    def notes(self) -> list[str]:
        """Which slates were left out, and which rules have no effect, in sentences."""
        return [*(f"{count:,} slates left out, {why}." for why, count in self.left_out.items()), *self.inactive]
