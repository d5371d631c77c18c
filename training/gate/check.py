"""What the gate asks and how much is too much, as values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["passed", "failed", "not judged"]


@dataclass(frozen=True, slots=True)
class GateConfig:
    """How much is too much.

    errors: standard errors within which a difference is noise; two are exceeded once in 40 times by chance.
    lead: standard errors by which the best baseline has to be beaten over all queries. A lead of none is a toss of a
    coin: on MovieTweetings with its items shuffled, where there is nothing to learn but popularity, the two stages
    had .1041/.0534 and the best baselines .1052/.0553, with errors of .0032/.0019.
    queries: fewer judge no segment. With 200 and a recall of .15, two standard errors are a third of the figure.
    telling: fewer, over all, can't tell better from as good: with 1,000 and a recall of .2, two standard errors are an
    eighth of it. Then popularity has to be beaten, and the other baselines may be ahead by noise: a ring of 300 users
    (360 queries) has .758/.710 where EASE has .758/.582.
    tolerance: share of the live one's figure that may go besides noise: the live one may have learned from newer events
    than the tested towers, which cost 5 % on MovieTweetings with 7 % newer events.
    least, most: rows, users and items as shares of the live one's. Half a log is a broken export and no quiet day;
    three times as many is a log that was joined twice, or another source. A day adds some percent.
    filled: share of the live one's filled values below which a column of the items has fallen out.
    restocked: share of the live one's unavailable items below which too many came back at once: a column of stock that
    is read wrongly makes all of them available.
    described: share of a first log's events whose item has to be in the items table. Of a shop's 90 days some items
    were discontinued; half a catalogue describes about half of the events.
    available: share of the items of a first log's newest events that has to be available. In data/shop it is above
    90 %; with yes and no exchanged it is below 10 %.
    span: days from the oldest to the newest event, as a share of the live one's and of what passed since. Dates with
    day and month exchanged spread 90 days over 325.
    gap: days without an event that are always allowed: a long weekend. Else three times the live one's longest gap, or
    half of a first log's span.
    ahead: share of events that may be ahead of the clock by less than a day. There are none but for clocks that differ.
    future: share of rows that may lie further ahead.
    aside: share of times, or of a column's values, that may be unreadable.
    hours: share of the events that may move to other hours of the day, besides noise.
    appeared: share that a new event type may have at once.
    items_kept, users_kept: share of the live one's items and users that has to be in the log. Users come and go.
    even: share of queries whose candidates may all score the same. An order by co-visitation is even for users without
    a past; a ranker that died is even for all.
    index: population stability index of the ranker's sureness; above .25 a distribution is commonly held to be another.
    On MovieTweetings .03 to .09 between seeds, .04 to .13 after a tenth more of the log, 1.3 and more after twice the
    log, and 2.4 to 4.4 with the items shuffled.
    """

    errors: float = 2.0
    lead: float = 1.0
    queries: int = 200
    telling: int = 1_000
    tolerance: float = 0.1
    least: float = 0.5
    most: float = 3.0
    filled: float = 0.8
    restocked: float = 0.5
    described: float = 0.8
    available: float = 0.5
    span: float = 1.5
    gap: float = 3.0
    ahead: float = 1e-5
    future: float = 1e-3
    aside: float = 0.05
    hours: float = 0.05
    appeared: float = 0.01
    items_kept: float = 0.5
    users_kept: float = 0.2
    even: float = 0.9
    index: float = 0.25


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: our figure, the bound it had to keep (None where it was not judged), and a sentence with both."""

    name: str
    verdict: Verdict
    sentence: str
    ours: float | None = None
    bound: float | None = None


def check(name: str, passed: bool, sentence: str, ours: float, bound: float) -> Check:
    """A comparison that was made."""
    return Check(name, "passed" if passed else "failed", sentence, ours, bound)


def failed(checks: Iterable[Check]) -> list[str]:
    """The sentences of the checks that failed."""
    return [each.sentence for each in checks if each.verdict == "failed"]
