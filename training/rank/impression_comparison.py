"""The ranker trained with impressions beside the one trained without: both order held-out slates that users were shown.

It imports no models and no numpy, so that the report and the gate read it without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
