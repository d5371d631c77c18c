"""The report of one run of the open loop, from what stands in load.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from loadtests.arrivals import Shape
from loadtests.histogram import Histogram
from loadtests.report.value import Bars, Chart, Line, Report, Rule, Table
from loadtests.tally import ANSWERED, MOST_LAG_MS, Outcome, Tally

BINS = 120
"""Of time, at most: each is a whole number of seconds."""

PER_DECADE = 25
"""Bars of a distribution, each a tenth wider than the one before."""

LIMITED = ("p50 ms", "p99 ms")
_KINDS = {Outcome.WHOLE: "first", Outcome.DEGRADED: "second", Outcome.REJECTED: "soft", Outcome.FAILED: "bad"}
_PERCENTILES = ((0.50, "p50", "first"), (0.90, "p90", "fourth"), (0.99, "p99", "third"))


def of_load(told: Mapping[str, Any]) -> Report:
    """Told: load.json."""
    tally, asked = Tally.from_json(told), told["asked"]
    shape = Shape(asked["shape"], tuple((seconds, rate) for seconds, rate in asked["pieces"]))
    limits = {line["name"]: line["limit"] for line in told["lines"]}
    byline = (
        f"{asked['shape']} over {shape.seconds:g} s, {asked['rate']:g} requests a second, {asked['door']}, "
        f"{asked['k']} items each, seed {asked['seed']}, {asked['host']}"
    )
    return Report(
        "Load test",
        byline,
        sentence(told),
        bool(told["held"]) and not told["failed_clicks"] and not told["generator_late"],
        [
            _promises(told),
            over_time(tally, limits),
            throughput(tally, shape),
            _distribution(tally.of(*ANSWERED), limits),
            _lag(tally.lag),
            *failures(tally),
        ],
    )


def sentence(told: Mapping[str, Any]) -> str:
    """The verdict, with what broke it."""
    if not told["requests"]:
        return "No request was counted: nothing held."
    if told["generator_late"]:
        return Tally.from_json(told).lateness
    broken = [
        f"{line['name']} was {_figure(line['measured'])}, and {_figure(line['limit'])} is the limit"
        for line in told["lines"]
        if not _held(line)
    ]
    if told["failed_clicks"]:
        broken.append(f"{told['failed_clicks']} clicks failed")
    if broken:
        return f"slo.toml did not hold: {'; '.join(broken)}."
    times = Tally.from_json(told).of(*ANSWERED)
    return (
        f"slo.toml held: of {told['requests']:,} requests for slates half were answered within "
        f"{times.percentile(0.5):.0f} ms and 99 % within {times.percentile(0.99):.0f} ms."
    )


def _promises(told: Mapping[str, Any]) -> Table:
    rows = [
        [line["name"], _figure(line["limit"]), _figure(line["measured"]), "held" if _held(line) else "BROKEN"]
        for line in told["lines"]
    ]
    if told["failed_clicks"]:
        rows.append(["failed clicks", "0", f"{told['failed_clicks']}", "BROKEN"])
    return Table("Against slo.toml", ["", "limit", "measured", ""], rows)


def over_time(tally: Tally, limits: Mapping[str, float]) -> Chart:
    """Percentiles of what was answered; limits: of slo.toml by name, where some are to be drawn."""
    step = _step(tally.seconds)
    starts = range(0, tally.seconds, step)
    parts = {start: tally.of(*ANSWERED, first=start, end=start + step) for start in starts}
    lines = [
        Line(name, kind, [(start + step / 2, parts[start].percentile(share)) for start in starts])
        for share, name, kind in _PERCENTILES
    ]
    rules = [Rule(f"limit of {name[:3]}: {limits[name]:g} ms", limits[name]) for name in LIMITED if name in limits]
    title = f"Response time, of each {'second' if step == 1 else f'{step} seconds'}"
    return Chart(title, "seconds from the start", "ms", lines, rules=rules, log_y=True)


def throughput(tally: Tally, shape: Shape) -> Chart:
    """What was offered, and what became of it."""
    step = _step(max(tally.seconds, math.ceil(shape.seconds)))
    bars = [
        Bars(
            outcome.value,
            kind,
            [
                (start, start + step, len(tally.of(outcome, first=start, end=start + step)) / step)
                for start in range(0, tally.seconds, step)
            ],
        )
        for outcome, kind in _KINDS.items()
        if tally.count(outcome)
    ]
    corners, start = [], 0.0
    for seconds, rate in shape.pieces:
        corners += [(start, rate), (start + seconds, rate)]
        start += seconds
    offered = Line("offered, on average", "fourth", corners, dashed=True)
    title = "Requests a second, by what became of those due then"
    return Chart(title, "seconds from the start", "a second", [offered], bars)


def _distribution(times: Histogram, limits: Mapping[str, float]) -> Chart:
    whole = max(len(times), 1)
    bars = Bars("answered", "first", [(low, high, 100 * n / whole) for low, high, n in times.bars(PER_DECADE)])
    measured = {name: (times.percentile(share), kind) for share, name, kind in _PERCENTILES if name != "p90"}
    rules = [Rule(f"{name} {value:.1f} ms", value, "x", kind) for name, (value, kind) in measured.items()]
    rules += [Rule(f"limit of {name[:3]}: {limits[name]:g} ms", limits[name], "x") for name in LIMITED]
    return Chart("Distribution of response times", "ms", "% of the answers", bars=[bars], rules=rules, log_x=True)


def _lag(lag: Histogram) -> Chart:
    whole = max(len(lag), 1)
    bars = Bars("requests", "soft", [(low, high, 100 * n / whole) for low, high, n in lag.bars(PER_DECADE)])
    p99 = lag.percentile(0.99)
    rules = [Rule(f"p99 {p99:.2f} ms", p99, "x", "third"), Rule(f"limit of p99: {MOST_LAG_MS:g} ms", MOST_LAG_MS, "x")]
    return Chart("How late the generator sent", "ms", "% of the requests", bars=[bars], rules=rules, log_x=True)


def failures(tally: Tally) -> list[Table]:
    """A table, where something failed."""
    rows = [[word, f"{count:,}"] for word, count in sorted(tally.words.items(), key=lambda each: -each[1])]
    return [Table("Failures, in their own words", ["", "requests"], rows)] if rows else []


def _step(seconds: int) -> int:
    return max(1, math.ceil(seconds / BINS))


def _held(line: Mapping[str, Any]) -> bool:
    return line["measured"] is not None and line["measured"] <= line["limit"]


def _figure(value: float | None) -> str:
    return "nothing" if value is None else f"{value:,.4g}"
