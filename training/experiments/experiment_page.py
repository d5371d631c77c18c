"""The HTML page of an experiment: the verdict, and the lift of each arm with its interval.

Below are the figures of each group, whether the numbers of users fit the shares, and how the slates of control and arms
were served: latency, failures, and missing stages.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from recsys.experiments.document import Experiment
from training.experiments.confidence_sequence import ALPHA, LEAST_TAKEN, LEAST_USERS
from training.experiments.guardrails import WINDOW_SECONDS, ArmCounts, Look, counts_since
from training.experiments.reading import ALL, NUMERATORS, MeasuredLift, Metric, Reading, Segment
from training.experiments.verdict import Verdict, counted_since, percent
from training.experiments.window import Window
from training.report.charts import COLOURS, NARROW, SOFT, Chart, chart
from training.report.page import Report, Section, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OUTCOMES = {"failed": ("error", "fell_back"), "degraded": ("degraded",), "empty": ("empty",)}
"""The columns of the table, with the outcomes that gateways count."""

QUANTILES = (0.5, 0.99)


def operation_table(looks: Sequence[Look], experiment: str, groups: Sequence[str], since: float) -> Table:
    """The table, from the looks of the monitor. since: of the last change, unix seconds. groups: control and arms."""
    title = "How slates were served"
    counted = counts_since(looks, looks[-1], since) if looks else {}
    if not counted:
        return Table(title, [], [], "The monitor has not looked twice since the last change: python -m flows monitor.")
    rows = []
    for group in groups:
        counts = counted.get(f"{experiment}/{group}", ArmCounts())
        shares = (_share(counts, outcomes) for outcomes in OUTCOMES.values())
        rows.append([group, f"{counts.slates:,.0f}", *shares, *(_milliseconds(counts, part) for part in QUANTILES)])
    header = ["", "slates", *OUTCOMES, *(f"p{100 * part:g}" for part in QUANTILES)]
    minutes = f"All slates of the last {WINDOW_SECONDS / 60:.0f} minutes, as gateways counted."
    return Table(title, header, rows, f"{minutes} p50 and p99 are at most so many ms.")


def _share(counts: ArmCounts, outcomes: Sequence[str]) -> str:
    return f"{sum(counts.outcomes.get(name, 0) for name in outcomes) / max(1, counts.slates):.1%}"


def _milliseconds(counts: ArmCounts, part: float) -> str:
    """The first bound of the histogram that this part of the slates does not exceed."""
    least = part * max(counts.within.values(), default=0)
    bound = next((at for at, count in sorted(counts.within.items()) if count >= least > 0), None)
    if bound is None:
        return ""
    return "above all buckets" if math.isinf(bound) else f"{1_000 * bound:g}"


GOOD: Mapping[str, bool] = {"better": True, "worse": False, "broken": False}

RATES = (
    "Per slate, ± one standard error over users. Slates are a sample: each gateway process logs at most "
    "TANDEM_IMPRESSIONS_PER_SECOND of them, of all arms alike; tandem_impressions_total counts the others."
)


LABEL = 16
"""Characters of a name beside a chart on a phone."""


def page(
    experiment: Experiment, window: Window, reading: Reading, verdict: Verdict, conversions: str, served: Table
) -> Report:
    """The page. conversions: a sentence that says which events convert. served: `operation_table`."""
    words = set(verdict.words.values())
    judged = next((GOOD[word] for word in ("broken", "worse", "better") if word in words), None)
    return Report(
        f"Experiment {experiment.name}",
        f"{experiment.status} · slates from {_moment(window.since)} to {_moment(window.until)}",
        verdict.sentence,
        judged,
        [
            *_charts(reading),
            lift_table(reading),
            *(
                group_table(*each, f"{RATES} {conversions}" if each[0] == ALL else "")
                for each in reading.segments.items()
            ),
            assignment_table(reading),
            served,
            *_users(reading),
            _arms(experiment),
            _history(experiment),
        ],
        headline=[*_headline(reading)],
    )


def _headline(reading: Reading) -> Iterator[tuple[str, str, str]]:
    segment, figure = reading.segments[ALL], NUMERATORS[reading.primary]
    for arm, lifts in segment.lifts.items():
        found = lifts[reading.primary]
        if found is None:
            yield f"{arm}: {figure} per slate", "too few", f"{LEAST_USERS} users and {LEAST_TAKEN} {figure} a group"
        else:
            bounds = f"from {percent(found.low)} to {percent(found.high)}"
            yield f"{arm}: {figure} per slate", percent(found.value), bounds
    for name, group in segment.groups.items():
        yield f"users of {name}", f"{group.users:,}", f"{group.slates:,} slates"


def _charts(reading: Reading) -> Iterator[Section]:
    """A chart of each metric: the lift of each arm, on all surfaces and on each."""
    found = {
        metric: [
            (name, arm, lift)
            for name, segment in reading.segments.items()
            for arm, lifts in segment.lifts.items()
            if (lift := lifts[metric]) is not None
        ]
        for metric in NUMERATORS
    }
    if charts := [_chart(metric, rows) for metric, rows in found.items() if rows]:
        note = (
            f"The bars are confidence sequences, valid at every look. {_level(reading)} The verdict is about all "
            "surfaces; one surface of many may show a difference by chance."
        )
        yield Section("Lift over control", note, charts)


def _chart(metric: Metric, rows: Sequence[tuple[str, str, MeasuredLift]]) -> Chart:
    """rows: segment, arm and lift."""
    arms = list(dict.fromkeys(arm for _, arm, _ in rows))

    def draw(axes: Axes) -> None:
        for place, (_, arm, lift) in enumerate(reversed(rows)):
            bar = [[100 * (lift.value - lift.low)], [100 * (lift.high - lift.value)]]
            axes.errorbar([100 * lift.value], [place], xerr=bar, fmt="o", color=COLOURS[arms.index(arm)])
        axes.axvline(0, color=SOFT, linewidth=1)
        axes.set_yticks(range(len(rows)), [_label(segment, arm) for segment, arm, _ in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)

    size = NARROW[0], 0.9 + 0.4 * len(rows)
    return chart(f"{NUMERATORS[metric].capitalize()} per slate", draw, size, legend=False, xlabel="lift, %")


def _label(segment: str, arm: str) -> str:
    """Two lines beside a chart; long names are cut, and the table has them whole."""
    return "\n".join(name if len(name) <= LABEL else f"{name[: LABEL - 1]}…" for name in (arm, segment))


def lift_table(reading: Reading) -> Table:
    """The lift of each arm, on all surfaces and on each."""
    rows = [
        [f"{arm}, {name}", *(_cell(lifts[metric]) for metric in NUMERATORS)]
        for name, segment in reading.segments.items()
        for arm, lifts in segment.lifts.items()
    ]
    note = f"Per slate. * adjusted by the users' slates before the experiment (CUPED). {_level(reading)}"
    return Table("Lift", ["", *NUMERATORS.values()], rows, note)


def _level(reading: Reading) -> str:
    """What the intervals of this window promise."""
    return (
        f"This is window {reading.window} of the experiment. Its intervals miss the lift with a probability of "
        f"{reading.level:.2%} at most, those of all windows together with {ALPHA:.0%}."
    )


def group_table(name: str, segment: Segment, note: str = "") -> Table:
    """The users of control and of each arm on a surface, and their clicks and conversions per slate."""
    rows = []
    for group, figures in segment.groups.items():
        rates = (
            f"{figures.rates[metric]:.2%} ±\N{NO-BREAK SPACE}{figures.errors[metric]:.2%}" for metric in NUMERATORS
        )
        rows.append([group, f"{figures.users:,}", f"{figures.slates:,}", *rates])
    title = "All surfaces" if name == ALL else f"Surface {name}"
    return Table(title, ["", "users", "slates", *NUMERATORS.values()], rows, note)


def assignment_table(reading: Reading) -> Table:
    """How many slates and users of control and of each arm were not served as assigned."""
    title, groups = "Served as assigned", reading.segments[ALL].groups
    if reading.by == "served":
        return Table(title, [], [], counted_since(reading))
    rows = [
        [name, *(f"{n:,}" for n in (each.slates, each.not_served_slates, each.users, each.not_served_users))]
        for name, each in groups.items()
    ]
    slates = sum(each.not_served_slates for each in groups.values())
    users = sum(each.not_served_users for each in groups.values())
    note = (
        f"{slates:,} slates of {users:,} users were not served as assigned: the control made these slates, and they "
        f"count for the assigned arm. {counted_since(reading)}"
    )
    return Table(title, ["", "slates", "not as assigned", "users", "with such slates"], rows, note.strip())


def _cell(lift: MeasuredLift | None) -> str:
    if lift is None:
        return "too few"
    return f"{percent(lift.value)} ({percent(lift.low)} to {percent(lift.high)})" + " *" * lift.adjusted


def _users(reading: Reading) -> Iterator[Table]:
    """Whether the users of the groups are as many as the shares say."""
    left_out = (
        f"{reading.crossed:,} users with slates of two arms are left out, and {reading.unknown:,} slates of arms that "
        "the experiment does not have or that are halted."
    )
    if (ratio := reading.sample_ratio) is None:
        why = "the caller assigns users, the shares changed inside the window, or one group has all users"
        note = f"Not compared with the shares: {why}. {left_out}"
        yield Table("Sample ratio", [], [], note)
        return
    rows = [[name, f"{users:,}", f"{ratio.expected[name]:,.0f}"] for name, users in ratio.users.items()]
    tests = f"p = {ratio.p:.2g} over all looks (broken below {ratio.level:.2g}), {ratio.fixed_p:.2g} of one look."
    yield Table("Sample ratio", ["", "users", "by the shares"], rows, f"{tests} {left_out}")


def _arms(experiment: Experiment) -> Table:
    """What each arm changes, as its definition says it."""
    rows = []
    for name, arm in experiment.definition.arms.items():
        stated = arm.model_dump(include=set(arm.changes), exclude_unset=True)
        changed = "; ".join(f"{field}: {value}" for field, value in stated.items()) or "nothing, as an A/A test"
        rows.append(
            [
                name,
                f"{arm.share:.4g}",
                f"{changed}. Halted: {experiment.halted[name]}" if name in experiment.halted else changed,
            ]
        )
    return Table("Arms", ["arm", "share", "changes"], rows, prose=True)


def _history(experiment: Experiment) -> Table:
    rows = [[_moment(change.at), f"{change.what} ({change.by})"] for change in experiment.changes]
    return Table("History", ["time", "change"], rows, prose=True)


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
