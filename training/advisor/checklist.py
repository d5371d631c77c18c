"""The four modes between which the advisor chooses, and seven questions on a product and its team. The answers say in
which mode to start, before anything is measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

ServedMode = Literal["batch", "hybrid", "realtime"]
"""A mode of a request and of `surfaces.toml`."""


class Mode(StrEnum):
    """When the parts of an answer are made.

    batch: a stored list, made for all users each day or so. micro-batch: a stored list, made again some minutes after a
    user's events. hybrid: the items of a stored list, ranked at the request. realtime: everything at the request.
    """

    BATCH = "batch"
    MICRO_BATCH = "micro-batch"
    HYBRID = "hybrid"
    REALTIME = "realtime"

    @property
    def served(self) -> ServedMode:
        """The mode of requests. In micro-batch, `flows refresh` updates the lists that the mode batch serves."""
        return "batch" if self is Mode.MICRO_BATCH else self.value  # type: ignore[return-value]


ENOUGH, FEW = 3, 2
"""The rule of thumb: so many votes for a mode, and fewer than so many for its opposite, start with that mode."""


class Vote(StrEnum):
    """What an answer speaks for. either: for neither of the two, or for a mixture of them."""

    BATCH = "batch"
    REALTIME = "realtime"
    EITHER = "either"


@dataclass(frozen=True)
class Answer:
    """A possible answer in words, and its vote."""

    text: str
    vote: Vote


@dataclass(frozen=True)
class Question:
    """A question, and its possible answers by the word that options use."""

    text: str
    answers: Mapping[str, Answer]


def _question(text: str, **answers: tuple[str, Vote]) -> Question:
    return Question(text, {name: Answer(*answer) for name, answer in answers.items()})


OFFLINE = "offline"
"""The answer to the question on latency that excludes every mode that works at a request."""

QUESTIONS = {
    "latency": _question(
        "Latency budget: how long may an answer take?",
        offline=("no page waits, as for an e-mail", Vote.BATCH),
        page=("a page waits, and shows the rest meanwhile", Vote.EITHER),
        action=("the answer follows each action of the user at once", Vote.REALTIME),
    ),
    "traffic": _question(
        "Traffic: how do requests arrive?",
        peaks=("in short high peaks, as after a campaign", Vote.BATCH),
        steady=("evenly, or as the day goes", Vote.EITHER),
        sparse=("from few of the many users", Vote.REALTIME),
    ),
    "team": _question(
        "Team: who builds and runs it?",
        small=("one or two people, beside other work", Vote.BATCH),
        some=("a team that also runs other services", Vote.EITHER),
        platform=("a team for machine learning in production", Vote.REALTIME),
    ),
    "operations": _question(
        "Operations: who looks after services at night?",
        jobs=("no one; jobs run on a schedule", Vote.BATCH),
        alerts=("alerts are read in working hours", Vote.EITHER),
        on_call=("people on call, who roll back in minutes", Vote.REALTIME),
    ),
    "features": _question(
        "Features: how recent must the data behind an answer be?",
        daily=("of yesterday", Vote.BATCH),
        hourly=("of the last hours", Vote.EITHER),
        session=("of this visit, with its last click", Vote.REALTIME),
    ),
    "risk": _question(
        "Risk: which wrong answer is expensive?",
        low=("none", Vote.BATCH),
        unchecked=("one that was not reviewed before it was shown", Vote.BATCH),
        stale=("one that is out of date", Vote.REALTIME),
    ),
    "catalogue": _question(
        "Catalogue: how fast do items come and go?",
        slow=("over weeks", Vote.BATCH),
        daily=("over days", Vote.EITHER),
        fast=("over hours, as news and offers do", Vote.REALTIME),
    ),
}
"""Every question by the name of its option."""


@dataclass(frozen=True)
class Checklist:
    """The result. votes: the number of answers by vote. mode: None if no question was answered."""

    answers: Mapping[str, str]
    votes: Mapping[Vote, int]
    mode: Mode | None

    @property
    def sentence(self) -> str:
        """The votes and the mode in words."""
        if self.mode is None:
            return "No question of the checklist was answered."
        counts = f"{self.votes[Vote.BATCH]} for batch, {self.votes[Vote.REALTIME]} for real-time"
        return f"The checklist alone gives {self.mode} ({counts}, {len(self.answers)} of {len(QUESTIONS)} answered)."


def judge(answers: Mapping[str, str]) -> Checklist:
    """Apply the rule of thumb to some answers, by question."""
    counted = Counter(QUESTIONS[question].answers[answer].vote for question, answer in answers.items())
    votes = {vote: counted[vote] for vote in Vote}
    batch, realtime = votes[Vote.BATCH], votes[Vote.REALTIME]
    mode = Mode.HYBRID if answers else None
    if batch >= ENOUGH and realtime < FEW:
        mode = Mode.BATCH
    elif realtime >= ENOUGH and batch < FEW:
        mode = Mode.REALTIME
    return Checklist(dict(answers), votes, mode)
