"""The gate's checks of a dataset, before a model of it may go live: sizes, times, event types, ids, items and columns.

They are pure functions of two profiles (datasets in figures). The first run of a dataset is judged by what no dataset
should have. A later run is also compared with the dataset of the live generation, the trained models that servers use.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np

from training.judge.gate.check import NOISE, Check, check
from training.judge.gate.dataset_profile import AVAILABLE, DataProfile, LiveGeneration
from training.read.times import IN_FUTURE

DAY = 86_400.0
EARLIEST = 631_152_000.0
"""1990-01-01. No shop has earlier events, and a time that was read in the wrong unit is in 1970."""
FEW = 3
"""Rows that are never refused: any log has a few errors."""
TELLING = 10
"""Expected rows or items of a kind above which zero is no accident: the probability of zero is e**-10."""
NOT_ZERO = 5e-7
"""Half of the last digit of a rounded share. A smaller share is zero."""

# The following are shares; "live" is the live generation's figure.
LEAST, MOST = 0.5, 3.0
"""Of live rows, users and items. Half a log is a broken export, three times the rows a log that was joined twice."""
SPAN = 1.5
"""Of the live days from the oldest to the newest event, and of the days since. Exchanged days and months add days."""
GAP_TIMES, GAP_DAYS = 3.0, 3.0
"""Of the longest live gap between events. Gaps of a long weekend, in days, are always allowed."""
AHEAD, FUTURE = 1e-5, 1e-3
"""Of the events, ahead of the clock by less than a day, and by more. Only clocks that differ make such events."""
ASIDE = 0.05
"""Of times, or of a column's values, that may be unreadable."""
HOURS = 0.05
"""Of the events that may move to other hours of the day, besides noise."""
APPEARED = 0.01
"""Of the events that a new event type may have at once."""
KEPT = {"items": 0.5, "users": 0.2}
"""Of the live ids that the log must still have: some users and items leave."""
DESCRIBED = 0.8
"""Of a first log's events whose item must be in the items table: half a catalogue describes half of the events."""
IN_STOCK = 0.5
"""Of the items of a first log's newest events that must be available: below 10 % where yes and no are exchanged."""
FILLED = 0.8
"""Of the live filled values that a column of the items must keep."""
RESTOCKED = 0.5
"""Of the live unavailable items that must stay unavailable: a column of stock that is read wrongly frees all items."""


def data_checks(data: DataProfile, live: LiveGeneration | None) -> list[Check]:
    """All checks of a dataset. live: the live generation, if it can be compared with."""
    families = (_sizes, _event_types, _ids_kept, _times, _span, _hours, _set_aside, _described, _in_stock, _columns)
    return [each for family in families for each in family(data, live)]


def _judge(
    data: DataProfile,
    name: str,
    ours: float,
    sentence: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    example: str = "",
) -> Check:
    """Whether a figure is between two bounds. A failed check shows two rows of the file: `example`, or by its name."""
    passed, rows = low <= ours <= high, data.examples.get(example or name)
    bound = low if ours < low or math.isinf(high) else high
    return check(name, passed, sentence if passed or not rows else f"{sentence} {rows}.", ours, bound)


def _beside(live: LiveGeneration | None, figure: str) -> str:
    return f", and live {live.id} has {figure}" if live else ""


def _sizes(data: DataProfile, live: LiveGeneration | None) -> Iterator[Check]:
    if live is None:
        return
    old = live.data
    sizes = [("rows", data.rows, old.rows), ("users", data.users, old.users), ("items", data.items, old.items)]
    sizes += [("items described", data.described, old.described)] if old.described else []
    for name, ours, theirs in sizes:
        low, high = math.ceil(theirs * LEAST), math.floor(theirs * MOST)
        sentence = f"{name}: {ours:,}{_beside(live, f'{theirs:,}')}; {low:,} to {high:,} would pass."
        yield _judge(data, name, ours, sentence, low=low, high=high)


def _times(data: DataProfile, live: LiveGeneration | None) -> Iterator[Check]:
    """The oldest event, events ahead of the clock, and gaps."""
    if not data.last:
        return
    old = live.data if live and live.data.last else None
    span, earliest = data.last - data.first, min(EARLIEST, old.first if old else EARLIEST)
    sentence = f"oldest event: {_date(data.first)}; {_date(earliest)} or later would pass."
    yield _judge(data, "oldest event", data.first, sentence, low=earliest)
    most = max(FEW, math.floor(AHEAD * data.rows))
    sentence = (
        f"events ahead of this machine's clock, by up to a day: {data.ahead:,} of {data.rows:,}; {most:,} would pass "
        "(timezone in [interactions])."
    )
    yield _judge(data, "events ahead", data.ahead, sentence, high=most)
    longest = max(GAP_TIMES * old.gap if old else span / 2, GAP_DAYS * DAY) / DAY
    beside = _beside(live, f"{old.gap / DAY:.1f}") if old else f" in {span / DAY:.1f} days"
    sentence = f"longest time without an event: {data.gap / DAY:.1f} days{beside}; {longest:.1f} would pass."
    yield _judge(data, "gap", data.gap / DAY, sentence, high=longest)


def _span(data: DataProfile, live: LiveGeneration | None) -> Iterator[Check]:
    """The days of the log, and its newest event."""
    if live is None or not live.data.last or not data.last:
        return
    old = live.data
    ours, theirs = (data.last - data.first) / DAY, (old.last - old.first) / DAY
    low, high = LEAST * theirs, SPAN * (theirs + max(data.last - old.last, 0.0) / DAY)
    sentence = f"days from the oldest to the newest event: {ours:.1f}{_beside(live, f'{theirs:.1f}')}"
    sentence += f"; {low:.1f} to {high:.1f} would pass."
    yield _judge(data, "span", ours, sentence, low=low, high=high, example="oldest event")
    sentence = f"newest event: {_minute(data.last)}{_beside(live, _minute(old.last))}; a day before would pass."
    yield _judge(data, "newest event", data.last, sentence, low=old.last - DAY)


def _hours(data: DataProfile, live: LiveGeneration | None) -> Iterator[Check]:
    """A log whose hours of the day are the live generation's some hours later was read in another time zone."""
    if live is None or not data.last or not data.hours or not live.data.hours:
        return
    ours, theirs = np.asarray(data.hours), np.asarray(live.data.hours)
    apart = np.array([np.abs(np.roll(ours, -shift) - theirs).sum() / 2 for shift in range(24)])
    best, noise = int(apart.argmin()), HOURS + math.sqrt(24 / min(data.rows, live.data.rows))
    shifted = best != 0 and apart[best] < apart[0] / 2
    hours = best if best <= 12 else best - 24
    sentence = f"hours of the day (UTC): {apart[0]:.1%} of the events are in other hours than in live {live.id}"
    sentence += f", and {apart[best]:.1%} if all times were {-hours:+d} hours" if best else ""
    sentence += f"; up to {noise:.1%} would pass (timezone in [interactions])."
    high = noise if shifted else 1.0  # other changes of the hours are no matter of the time zone
    yield _judge(data, "hours", float(apart[0]), sentence, high=high, example="newest event")


def _set_aside(data: DataProfile, live: LiveGeneration | None) -> Iterator[Check]:
    """Rows and values in quarantine, by reason. Empty ids are common, and only compared with the live generation's."""
    for reason, ours in data.set_aside.items():
        table = reason.removeprefix("values of ").split(",", 1)[0]
        rows, old = data.read.get(table, data.rows), live.data if live and live.data.read else None
        theirs = old.set_aside.get(reason, 0) / max(old.read.get(table, old.rows), 1) if old else 0.0
        if old is None and "timestamp" not in reason and not reason.startswith("values"):
            continue
        allowed = FUTURE if reason.endswith(IN_FUTURE) else ASIDE
        most = max(FEW, math.floor(max(allowed, 2 * theirs) * rows))
        beside = _beside(live, f"{theirs:.2%}") if old else ""
        sentence = f"set aside, {reason}: {ours:,} of {rows:,}{beside}; {most:,} would pass."
        yield _judge(data, f"set aside, {reason}", ours, sentence, high=most, example=reason)


def _described(data: DataProfile, live: LiveGeneration | None) -> Iterator[Check]:
    """The share of the events whose item is in the items table, if there is one."""
    ours, theirs = data.described_events, live.data.described_events if live else None
    if ours is None and not theirs:
        return
    bound = DESCRIBED if theirs is None else FILLED * theirs
    beside = _beside(live, f"{theirs:.1%}") if theirs is not None else ""
    figure = "no items table" if ours is None else f"{ours:.1%}"
    sentence = f"events whose item is in the items table ([items]): {figure}{beside}; {bound:.1%} would pass."
    yield _judge(data, "events described", ours or 0.0, sentence, low=bound)


def _in_stock(data: DataProfile, live: LiveGeneration | None) -> Iterator[Check]:
    """Whether items of a first log's newest events are available: most are not if yes and no are exchanged."""
    if live is not None or data.available_lately is None:
        return
    sentence = (
        f"items of the newest tenth of the events that are available: {data.available_lately:.1%}; {IN_STOCK:.1%} "
        "would pass. If yes and no are exchanged, set available_values in [items]."
    )
    example = f"column {AVAILABLE}"
    yield _judge(data, "available lately", data.available_lately, sentence, low=IN_STOCK, example=example)


def _event_types(data: DataProfile, live: LiveGeneration | None) -> Iterator[Check]:
    """Each event type's share of the events: no type vanished, appeared or changed far beyond noise."""
    if live is None or not data.types or not live.data.types:
        return
    for name in sorted({*data.types, *live.data.types}):
        ours, theirs = data.types.get(name, 0.0), live.data.types.get(name, 0.0)
        noise = NOISE * math.sqrt(theirs * (1 - theirs) / max(data.rows, 1))
        low, high = max(LEAST * theirs - noise, 0.0), min(max(theirs / LEAST + noise, APPEARED), 1.0)
        if not ours and theirs * data.rows >= TELLING:
            low = max(low, NOT_ZERO)
        sentence = f"events of type {name}: {ours:.2%}{_beside(live, f'{theirs:.2%}')}; {low:.2%} to {high:.2%} would "
        sentence += "pass (event_type in [interactions])."
        example = f"type {name}" if ours else "type"
        yield _judge(data, f"type {name}", ours, sentence, low=low, high=high, example=example)


def _ids_kept(data: DataProfile, live: LiveGeneration | None) -> Iterator[Check]:
    """The share of a sample of the live generation's ids that this log has: none if ids are written otherwise."""
    if live is None:
        return
    for kind, least in KEPT.items():
        sample = live.data.sample.get(kind, ())
        if len(sample) < TELLING or kind not in data.hashes:
            continue
        kept = float(np.isin(np.asarray(sample, np.uint64), data.hashes[kind]).mean())
        sentence = (
            f"{kind} of live {live.id} that are in this data: {kept:.0%} of a sample of {len(sample)}; {least:.0%} "
            "would pass."
        )
        yield _judge(data, f"{kind} kept", kept, sentence, low=least)


def _columns(data: DataProfile, live: LiveGeneration | None) -> Iterator[Check]:
    """Each column of the items. A column that only the live generation has is empty here."""
    for column in sorted({*data.filled, *(live.data.filled if live else {})}):
        ours, theirs = data.filled.get(column, 0.0), live.data.filled.get(column) if live else None
        kind = "items that are available" if column == AVAILABLE else f"items with a value in column {column}"
        sentence = f"{kind}: {ours:.1%} of {data.items:,}"
        low, high = 0.0, 1.0
        if theirs is None:
            low, sentence = NOT_ZERO, f"{sentence}; more than 0.0% would pass."
        else:
            noise = NOISE * math.sqrt(theirs * (1 - theirs) / max(data.items, 1))
            low = max(FILLED * theirs - noise, NOT_ZERO if theirs else 0.0)
            bounds = f"{low:.1%}"
            if column == AVAILABLE and theirs < 1:
                high = min(1 - RESTOCKED * (1 - theirs) + noise, 1.0)
                if (1 - theirs) * data.items >= TELLING:
                    high = min(high, 1 - NOT_ZERO)
                bounds = f"{low:.1%} to {high:.1%}"
            sentence = f"{sentence}{_beside(live, f'{theirs:.1%}')}; {bounds} would pass."
        yield _judge(data, f"column {column}", ours, sentence, low=low, high=high)


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


def _minute(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment))
