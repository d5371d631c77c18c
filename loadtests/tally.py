"""What became of every request of a run, second by second."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from loadtests.histogram import Histogram


class Outcome(StrEnum):
    """What became of a request."""

    WHOLE = "whole"
    DEGRADED = "degraded"
    """Answered with what it asked for, and without a stage."""
    REJECTED = "rejected"
    """Told in so many words to come back later."""
    FAILED = "failed"
    """Anything else: no answer, another status, a slate that is none."""


ANSWERED = (Outcome.WHOLE, Outcome.DEGRADED)

MOST_LAG_MS = 20.0
"""That 1 % of the requests may be sent too late, before figures say more of the generator than of the deployment."""


class Tally:
    """Response times by outcome and by the second in which the request was due."""

    def __init__(self) -> None:
        self._by_second: dict[tuple[int, Outcome], Histogram] = {}
        self.lag = Histogram()
        self.words: dict[str, int] = {}
        self.failed_clicks = 0
        self.cpu_seconds = 0.0  # of the deployment, while it was counted

    def add(self, at: float, milliseconds: float, outcome: Outcome, word: str = "") -> None:
        """Count a request that was due `at` seconds from the start; word: of a failure, what it was."""
        self._by_second.setdefault((int(at), outcome), Histogram()).add(milliseconds)
        if word:
            self.words[word] = self.words.get(word, 0) + 1

    def of(self, *outcomes: Outcome, first: float = 0.0, end: float = float("inf")) -> Histogram:
        """Response times of these outcomes, of requests due in seconds `first` to `end`."""
        return Histogram.merged(
            times
            for (second, outcome), times in self._by_second.items()
            if outcome in outcomes and first <= second < end
        )

    @property
    def seconds(self) -> int:
        """One more than the last second in which a request was due."""
        return 1 + max((second for second, _ in self._by_second), default=-1)

    def count(self, *outcomes: Outcome) -> int:
        """How many had one of these outcomes; of all of them where none is named."""
        return len(self.of(*(outcomes or Outcome)))

    def share(self, *outcomes: Outcome) -> float:
        """Their share of all requests."""
        return self.count(*outcomes) / max(self.count(), 1)

    @property
    def generator_late(self) -> bool:
        """Whether so many were sent too late that nothing was measured."""
        return self.count() > 0 and self.lag.percentile(0.99) > MOST_LAG_MS

    @property
    def lateness(self) -> str:
        """Why a run with a late generator measured nothing, as a sentence."""
        lag = self.lag.percentile(0.99)
        return f"Nothing was measured: the generator itself was late, by {lag:.0f} ms for 1 % of the requests."

    @property
    def complaints(self) -> list[str]:
        """What failed, in words: the five most frequent, the clicks, and what was refused."""
        refused = self.count(Outcome.REJECTED)
        often = sorted(self.words.items(), key=lambda each: -each[1])[:5]
        clicks = [f"{self.failed_clicks:,} clicks failed"] * bool(self.failed_clicks)
        rejected = [f"{refused:,} of {self.count():,} were told to come back later (429)"] * bool(refused)
        return [f"{count:,} failed: {word}" for word, count in often] + clicks + rejected

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        told = [
            {"second": second, "outcome": outcome.value, **times.to_json()}
            for (second, outcome), times in sorted(self._by_second.items())
        ]
        plain = {"words": self.words, "failed_clicks": self.failed_clicks, "cpu_seconds": self.cpu_seconds}
        return {"by_second": told, "lag": self.lag.to_json(), **plain}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Tally:
        """Inverse of `to_json`."""
        tally = cls()
        for each in told["by_second"]:
            tally._by_second[each["second"], Outcome(each["outcome"])] = Histogram.from_json(each)
        tally.failed_clicks, tally.cpu_seconds = int(told["failed_clicks"]), float(told["cpu_seconds"])
        tally.lag, tally.words = Histogram.from_json(told["lag"]), dict(told["words"])
        return tally
