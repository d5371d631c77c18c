"""The tested model and the live generation on the same queries, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from training.evaluation.preview import Scores


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures of both models on the test's queries that neither model learned from.

    live: the id of the live generation. ours, theirs: rows of the metric table, without coverage; empty where there is
    no such query. our_scores, their_scores: the spread of the scores over these queries. reason: why the live
    generation was not scored at all; empty where it was.
    """

    live: str
    ours: Mapping[str, float | None] = field(default_factory=dict)
    theirs: Mapping[str, float | None] = field(default_factory=dict)
    our_scores: Scores | None = None
    their_scores: Scores | None = None
    reason: str = ""

    @property
    def queries(self) -> int:
        """Queries of target types that both models answered."""
        return int(self.theirs.get("queries") or 0)
