"""Tally of a load test: outcomes and response times of its requests, by the second in which each was due."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from loadtests.histogram import Histogram


class Outcome(StrEnum):
    """The outcome of a request."""

    WHOLE = "whole"
    DEGRADED = "degraded"
    """Answered with a slate, without one of the stages."""
    REJECTED = "rejected"
    """Refused with 429 or RESOURCE_EXHAUSTED."""
    FAILED = "failed"
    """No answer, another status, or a slate without k distinct items."""


ANSWERED = (Outcome.WHOLE, Outcome.DEGRADED)

NO_AGES: Mapping[str, float] = {}

MOST_LAG_MS = 20.0
"""99 % of the requests must be sent within this time of their moment, or the figures are of the generator."""


class Tally:
    """Response times by outcome and by the second in which the request was due."""

    def __init__(self, lost_processes: int = 0) -> None:
        """lost_processes: of the generator, whose figures are missing or incomplete."""
        self._by_second: dict[tuple[int, Outcome], Histogram] = {}
        self.lag = Histogram()
        self.ages: dict[str, Histogram] = {}  # seconds, of what answers were made from, by part
        self.words: dict[str, int] = {}
        self.failed_clicks = 0
        self.cpu_seconds = 0.0  # of the deployment, while it was counted
        self.lost_processes = lost_processes

    def add(
        self, at: float, milliseconds: float, outcome: Outcome, word: str = "", ages: Mapping[str, float] = NO_AGES
    ) -> None:
        """Count a request that was due `at` seconds from the start; word: the reason of a failure.

        ages: in seconds, of what the answer was made from, by part.
        """
        self._by_second.setdefault((int(at), outcome), Histogram()).add(milliseconds)
        for part, age in ages.items():
            self.ages.setdefault(part, Histogram()).add(age)
        if word:
            self.words[word] = self.words.get(word, 0) + 1

    def merge(self, part: Tally) -> None:
        """Add the figures of another process of the same run."""
        for key, times in part._by_second.items():
            self._by_second.setdefault(key, Histogram()).merge(times)
        for word, count in part.words.items():
            self.words[word] = self.words.get(word, 0) + count
        self.lag.merge(part.lag)
        for name, ages in part.ages.items():
            self.ages.setdefault(name, Histogram()).merge(ages)
        self.failed_clicks += part.failed_clicks
        self.cpu_seconds += part.cpu_seconds
        self.lost_processes += part.lost_processes

    def of(self, *outcomes: Outcome, first: float = 0.0, end: float = float("inf")) -> Histogram:
        """Response times of these outcomes, of requests due in seconds `first` to `end`."""
        return Histogram.merged(
            times
            for (second, outcome), times in self._by_second.items()
            if outcome in outcomes and first <= second < end
        )

    def older_share(self, part: str, seconds: float) -> float:
        """Share of the answers made from a part that was older, to 1 % of the age; 0 if none was made from it."""
        ages = self.ages.get(part, Histogram())
        return 1 - ages.within(1.01 * seconds) / len(ages) if len(ages) else 0.0

    @property
    def seconds(self) -> int:
        """One more than the last second in which a request was due."""
        return 1 + max((second for second, _ in self._by_second), default=-1)

    def count(self, *outcomes: Outcome) -> int:
        """Requests with one of these outcomes; all requests where none is named."""
        return len(self.of(*(outcomes or Outcome)))

    def share(self, *outcomes: Outcome) -> float:
        """Their share of all requests."""
        return self.count(*outcomes) / max(self.count(), 1)

    @property
    def generator_late(self) -> bool:
        """Whether the generator was late or incomplete, so that nothing was measured."""
        return self.lost_processes > 0 or (self.count() > 0 and self.lag.percentile(0.99) > MOST_LAG_MS)

    @property
    def lateness(self) -> str:
        """Why such a run measured nothing, as a sentence."""
        if self.lost_processes:
            return (
                f"Nothing was measured: the figures of {self.lost_processes} of the generator's processes are missing."
            )
        lag = self.lag.percentile(0.99)
        return f"Nothing was measured: the generator itself was late, by {lag:.0f} ms for 1 % of the requests."

    @property
    def complaints(self) -> list[str]:
        """The five most frequent failures, failed clicks and rejected requests, as sentences."""
        rejected = self.count(Outcome.REJECTED)
        frequent = sorted(self.words.items(), key=lambda each: -each[1])[:5]
        sentences = [f"{count:,} failed: {word}" for word, count in frequent]
        if self.failed_clicks:
            sentences.append(f"{self.failed_clicks:,} clicks failed")
        if rejected:
            sentences.append(f"{rejected:,} of {self.count():,} were rejected (429)")
        return sentences

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        by_second = [
            {"second": second, "outcome": outcome.value, **times.to_json()}
            for (second, outcome), times in sorted(self._by_second.items())
        ]
        plain = {"words": self.words, "failed_clicks": self.failed_clicks, "cpu_seconds": self.cpu_seconds}
        plain["lost_processes"] = self.lost_processes
        plain["ages"] = {part: ages.to_json() for part, ages in self.ages.items()}
        return {"by_second": by_second, "lag": self.lag.to_json(), **plain}

    @classmethod
    def from_json(cls, figures: Mapping[str, Any]) -> Tally:
        """Inverse of `to_json`."""
        tally = cls(int(figures["lost_processes"]))
        for each in figures["by_second"]:
            tally._by_second[each["second"], Outcome(each["outcome"])] = Histogram.from_json(each)
        tally.failed_clicks, tally.cpu_seconds = int(figures["failed_clicks"]), float(figures["cpu_seconds"])
        tally.ages = {part: Histogram.from_json(ages) for part, ages in figures["ages"].items()}
        tally.lag, tally.words = Histogram.from_json(figures["lag"]), dict(figures["words"])
        return tally
