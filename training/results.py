"""What a training finds, as data: the spread of scores and slates of some users, the reward of another policy, and the
ranker with impressions beside the one without.

It imports no models and no numpy, so that the flows, the report and the gate read results without torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

BINS = 10
"""Bars of the histogram: with 1,000 queries a bar that holds 1 % of the queries has ten."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How much of the softmax of a query's scores the first ten candidates hold, over a sample of test queries.

    The scores of a list are defined up to a shift, so their softmax is counted. histogram[b]: queries whose first ten
    candidates hold between b and b + 1 tenths. even: queries whose candidates all have the same score. broken: queries
    with a score that is not a finite number.
    """

    queries: int
    histogram: tuple[int, ...]
    even: int = 0
    broken: int = 0

    def to_json(self) -> dict[str, Any]:
        """The form in a manifest."""
        return asdict(self) | {"histogram": list(self.histogram)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Scores:
        """Inverse of `to_json`."""
        return cls(**raw | {"histogram": tuple(raw["histogram"])})


@dataclass(frozen=True, slots=True)
class Slate:
    """One test query in titles: the newest items of the history, newest last, and the ten recommended items.

    events: length of the history that the models read. targets: the items that the user took next. hits: places on
    the slate, from 0, that hold a target.
    """

    user: str
    history: tuple[str, ...]
    events: int
    shown: tuple[str, ...]
    targets: tuple[str, ...]
    hits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """The spread of a model's scores, and its slates for some users."""

    scores: Scores
    slates: tuple[Slate, ...]


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


HELD_OUT = 200
"""Held-out slates below which the ranker without impressions serves. With 400 the error of the difference in NDCG@10
was .012 in a made-up deployment, so with 200 it is about .016."""

WITH, WITHOUT = "with_impressions", "without_impressions"
"""The row of the metric table of the ranker that does not serve."""

METRIC = "ndcg@10"


@dataclass(frozen=True, slots=True)
class ImpressionComparison:
    """trained, held: slates that trained the ranker, and newer ones that measured both; all have a taken item.

    ours, theirs: NDCG@10 of the taken items with and without impressions, on the held-out slates. error: the standard
    error of the difference, clustered by user. rates: of taken items by place, relative to the best; empty where no
    bias was measured. left_out: slates by reason. seconds: of reading, of the second training and of the comparison.
    reason: why nothing was trained; empty where it was.
    """

    trained: int = 0
    held: int = 0
    ours: float = 0.0
    theirs: float = 0.0
    error: float = 0.0
    serves: bool = False
    rates: tuple[float, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""

    @property
    def other(self) -> str:
        """The name of the ranker that does not serve."""
        return WITHOUT if self.serves else WITH

    @property
    def sentence(self) -> str:
        """Which ranker serves and why, with the figures."""
        if self.reason:
            return f"The ranker learns nothing from impressions: {self.reason}."
        which = "with" if self.serves else "without"
        return (
            f"{METRIC} on {self.held:,} held-out slates: {self.ours:.4f} with {self.trained:,} slates in the training, "
            f"{self.theirs:.4f} without, standard error of the difference {self.error:.4f}; the ranker {which} "
            "impressions serves."
        )

    @property
    def lines(self) -> list[str]:
        """What a person reads of the training with impressions."""
        bias = "Too few items were drawn at random to measure the position bias; nothing corrects it."
        if self.rates:
            rate = f"place {len(self.rates)} has {self.rates[-1]:.0%} of the rate of the best place"
            bias = f"Position bias, measured on items drawn at random and corrected: {rate}."
        left_out = [f"Slates left out, {reason}: {count:,}." for reason, count in self.left_out.items()]
        cost = f"Impressions cost {self.seconds:.0f} s of this training."
        return [self.sentence, *([] if self.reason else [bias, cost]), *left_out]
