"""The gate's checks of a dataset: its times, its event types, its items, its columns, and what was set aside.

Pure functions over two profiles. A first run is judged by what no dataset should have; a later one is compared with
the live generation, too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np

from training.data.dataset import IN_FUTURE
from training.gate.check import Check, GateConfig, check
from training.gate.dataset_profile import AVAILABLE, DataProfile, Live

DAY = 86_400.0
EARLIEST = 631_152_000.0
"""1990-01-01: no shop has events from before, and a time that was read in the wrong unit is of 1970."""

FEW = 3
"""Rows that are never refused: any log has a few errors."""

TELLING = 10
"""Expected rows or items of a kind above which zero is no accident: its probability is e**-10."""


def data_checks(data: DataProfile, other: Live | None, config: GateConfig) -> list[Check]:
    """All checks of a dataset; other: the live generation, where it can be compared with."""
    checks = [*_sizes(data, other, config), *_types(data, other, config), *_known(data, other, config)] if other else []
    checks += [*_times(data, other, config), *_set_aside(data, other, config), *_described(data, other, config)]
    checks += [] if other else _sold_out(data, config)
    columns = sorted({*data.filled, *(other.data.filled if other else {})})
    return checks + [_column(column, data, other, config) for column in columns]


def _judged(
    data: DataProfile, example: str, name: str, passed: bool, sentence: str, ours: float, bound: float
) -> Check:
    """A comparison; one that failed shows two rows of the file."""
    rows = data.examples.get(example)
    return check(name, passed, sentence if passed or not rows else f"{sentence} {rows}.", ours, bound)


def _sizes(data: DataProfile, other: Live, config: GateConfig) -> Iterator[Check]:
    old = other.data
    sizes = [("rows", data.rows, old.rows), ("users", data.users, old.users), ("items", data.items, old.items)]
    if old.described:
        sizes.append(("items described", data.described, old.described))
    for name, ours, theirs in sizes:
        low, high = math.ceil(theirs * config.least), math.floor(theirs * config.most)
        told = f"{name}: {ours:,}, and live {other.id} has {theirs:,}; {low:,} to {high:,} would pass."
        yield check(name, low <= ours <= high, told, ours, high if ours > theirs else low)


def _times(data: DataProfile, other: Live | None, config: GateConfig) -> Iterator[Check]:
    """Span, gaps, hours and what is ahead of the clock; nothing of a profile without times."""
    if not data.last:
        return
    old = other.data if other is not None and other.data.last else None
    span, earliest = data.last - data.first, min(EARLIEST, old.first if old else EARLIEST)
    told = f"oldest event: {_date(data.first)}; {_date(earliest)} or later would pass."
    yield _judged(data, "oldest", "oldest event", data.first >= earliest, told, data.first, earliest)
    most = max(FEW, math.floor(config.ahead * data.rows))
    told = f"events ahead of this machine's clock, by up to a day: {data.ahead:,} of {data.rows:,}; {most:,} would pass"
    yield _judged(
        data, "ahead", "events ahead", data.ahead <= most, f"{told} (timezone in [interactions]).", data.ahead, most
    )
    longest = max((3 * old.gap) if old else span / 2, config.gap * DAY)
    told = f"longest time without an event: {data.gap / DAY:.1f} days"
    told += f", and live {other.id} has {old.gap / DAY:.1f}" if other and old else f" in {span / DAY:.1f} days"
    yield check("gap", data.gap <= longest, f"{told}; {longest / DAY:.1f} would pass.", data.gap / DAY, longest / DAY)
    if other is None or old is None:
        return
    before = old.last - old.first
    low, high = config.least * before / DAY, config.span * (before + max(data.last - old.last, 0.0)) / DAY
    told = f"days from the oldest to the newest event: {span / DAY:.1f}, and live {other.id} has {before / DAY:.1f}"
    bound = high if span > before else low
    yield _judged(
        data,
        "oldest",
        "span",
        low <= span / DAY <= high,
        f"{told}; {low:.1f} to {high:.1f} would pass.",
        span / DAY,
        bound,
    )
    told = f"newest event: {_moment(data.last)}, and live {other.id} has {_moment(old.last)}"
    yield _judged(
        data,
        "newest",
        "newest event",
        data.last >= old.last - DAY,
        f"{told}; a day before would pass.",
        data.last,
        old.last,
    )
    if data.hours and old.hours:
        yield _hours(data, other, config)


def _hours(data: DataProfile, other: Live, config: GateConfig) -> Check:
    """A log whose hours of the day are the live one's some hours later was read in another time zone."""
    ours, theirs = np.asarray(data.hours), np.asarray(other.data.hours)
    apart = np.array([np.abs(np.roll(ours, -shift) - theirs).sum() / 2 for shift in range(24)])
    best = int(apart.argmin())
    noise = config.hours + math.sqrt(len(ours) / min(data.rows, other.data.rows))
    shifted = best != 0 and apart[0] > noise and apart[best] < apart[0] / 2
    hours = best if best <= len(ours) // 2 else best - len(ours)
    told = f"hours of the day (UTC): {apart[0]:.1%} of the events are in other hours than in live {other.id}"
    told += f", and {apart[best]:.1%} if all times were {-hours:+d} hours" if best else ""
    return _judged(
        data,
        "newest",
        "hours",
        not shifted,
        f"{told}; up to {noise:.1%} would pass (timezone in [interactions]).",
        apart[0],
        noise,
    )


def _set_aside(data: DataProfile, other: Live | None, config: GateConfig) -> Iterator[Check]:
    """Rows and values in quarantine, by reason; empty ids are common, and only compared with the live ones."""
    for reason, ours in data.set_aside.items():
        table = reason.removeprefix("values of ").split(",", 1)[0]
        rows, old = data.read.get(table, data.rows), other.data if other else None
        theirs = old.set_aside.get(reason, 0) / max(old.read.get(table, old.rows), 1) if old else 0.0
        comparable = old is not None and bool(old.read)
        if not comparable and "timestamp" not in reason and not reason.startswith("values"):
            continue
        allowed = config.future if reason.endswith(IN_FUTURE) else config.aside
        most = max(FEW, math.floor(max(allowed, 2 * theirs) * rows))
        told = f"set aside, {reason}: {ours:,} of {rows:,}"
        told += f", and live {other.id} had {theirs:.2%}" if other and comparable else ""
        yield _judged(data, reason, f"set aside, {reason}", ours <= most, f"{told}; {most:,} would pass.", ours, most)


def _described(data: DataProfile, other: Live | None, config: GateConfig) -> Iterator[Check]:
    """The share of the events whose item stands in the items table, where there is one."""
    theirs = other.data.described_events if other else None
    if data.described_events is None:
        if theirs:
            told = f"events whose item is in the items table: no items table, and live {other.id if other else ''} had"
            yield check("events described", False, f"{told} {theirs:.1%}.", 0.0, theirs)
        return
    told = f"events whose item is in the items table ([items]): {data.described_events:.1%}"
    bound = config.described if theirs is None else config.filled * theirs
    told += f", and live {other.id} has {theirs:.1%}" if other and theirs is not None else ""
    passed = data.described_events >= bound
    yield _judged(
        data,
        "undescribed",
        "events described",
        passed,
        f"{told}; {bound:.1%} would pass.",
        data.described_events,
        bound,
    )


def _sold_out(data: DataProfile, config: GateConfig) -> Iterator[Check]:
    """Whether users could take the items of the newest events: most are sold out where yes and no are exchanged."""
    ours = data.available_lately
    if ours is None:
        return
    told = f"items of the newest tenth of the events that are available: {ours:.1%}; {config.available:.1%} would pass."
    told += " Where yes and no are exchanged, set available_values in [items]"
    yield _judged(
        data, f"column {AVAILABLE}", "available lately", ours >= config.available, f"{told}.", ours, config.available
    )


def _types(data: DataProfile, other: Live, config: GateConfig) -> Iterator[Check]:
    """Each event type's share of the events: none vanished, appeared or changed far beyond noise."""
    theirs = other.data.types
    for name in sorted({*data.types, *theirs}) if theirs and data.types else ():
        ours, old = data.types.get(name, 0.0), theirs.get(name, 0.0)
        noise = config.errors * math.sqrt(old * (1 - old) / max(data.rows, 1))
        low, high = max(config.least * old - noise, 0.0), max(old / config.least + noise, config.appeared)
        vanished = not ours and old * data.rows >= TELLING
        high = min(high, 1.0)
        told = f"events of type {name}: {ours:.2%}, and live {other.id} has {old:.2%}; {low:.2%} to {high:.2%} would"
        told += " pass (event_type in [interactions])."
        example = f"type {name}" if ours else "type"
        yield _judged(
            data, example, f"type {name}", low <= ours <= high and not vanished, told, ours, high if ours > old else low
        )


def _known(data: DataProfile, other: Live, config: GateConfig) -> Iterator[Check]:
    """How many of a sample of the live generation's ids this log still names: ids written otherwise are all gone."""
    for kind, least in (("items", config.items_kept), ("users", config.users_kept)):
        sample = other.data.sample.get(kind, ())
        if len(sample) < TELLING or kind not in data.hashes:
            continue
        kept = float(np.isin(np.asarray(sample, np.uint64), data.hashes[kind]).mean())
        told = f"{kind} of live {other.id} that are in this data: {kept:.0%} of a sample of {len(sample)}"
        yield _judged(
            data, f"{kind[:-1]}_id", f"{kind} kept", kept >= least, f"{told}; {least:.0%} would pass.", kept, least
        )


def _column(column: str, data: DataProfile, live: Live | None, config: GateConfig) -> Check:
    """One column of the items; one that only the live generation had is empty here."""
    ours, theirs = data.filled.get(column, 0.0), live.data.filled.get(column) if live else None
    what = "items that are available" if column == AVAILABLE else f"items with a value in column {column}"
    told = f"{what}: {ours:.1%} of {data.items:,}"
    if live is None or theirs is None:
        return _judged(
            data, f"column {column}", f"column {column}", ours > 0, f"{told}; more than 0.0% would pass.", ours, 0.0
        )
    noise = config.errors * math.sqrt(theirs * (1 - theirs) / max(data.items, 1))
    low, high = max(config.filled * theirs - noise, 0.0), 1.0
    told += f", and live {live.id} has {theirs:.1%}"
    passed = ours >= low and (ours > 0 or not theirs)
    if column == AVAILABLE and theirs < 1:
        high = min(1 - config.restocked * (1 - theirs) + noise, 1.0)
        none_left = ours == 1 and (1 - theirs) * data.items >= TELLING
        passed = passed and ours <= high and not none_left
        told += f"; {low:.1%} to {high:.1%} would pass."
        return _judged(data, f"column {column}", f"column {column}", passed, told, ours, high if ours > theirs else low)
    return _judged(data, f"column {column}", f"column {column}", passed, f"{told}; {low:.1%} would pass.", ours, low)


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


def _moment(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment))
