"""The HTML page of drift: which columns of served slates differ, with both distributions of those that differ most."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from training.drift import ALPHA
from training.drift.drift_reading import TRAINING, WEEK, ColumnDrift, DriftReading
from training.drift.recomputed_features import TOLERANCE, Skew
from training.export.training_slates import WARM
from training.report.charts import NARROW, Chart, chart
from training.report.page import Report, Section, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHARTS, WORST = 6, 3
"""Columns with a chart, and columns that are named of each segment."""

NAMES = {"realtime": "window in mode realtime", WEEK: "week before", TRAINING: "training"}

COLUMNS_NOTE = (
    "PSI: population stability index over tenths of the reference, or over categories. p: of a Kolmogorov-Smirnov or "
    "chi-square test with one item of each user, corrected by Holm's method for the columns of all comparisons."
)


def page(generation: str, reading: DriftReading, skew: Skew, start: float, until: float) -> Report:
    """The page. start, until: the window, unix seconds."""
    compared = bool(reading.drifts or skew.shares)
    return Report(
        "Drift of served slates",
        f"{generation or 'no slates'} · slates from {_moment(start)} to {_moment(until)}",
        f"{reading.sentence} {skew.sentence}",
        not (reading.alarms or skew.alarms) if compared else None,
        [*_charts(reading), *_columns(reading), *_segments(reading), *_skew(skew)],
        headline=[
            (f"users, {NAMES.get(name, name)}", f"{count:,}", "one item each") for name, count in reading.users.items()
        ],
    )


def _charts(reading: DriftReading) -> Iterator[Section]:
    """Both distributions of the columns that differ most, by the comparison that may alarm."""
    worst = [each for each in reading.drifts if each.judged][:CHARTS]
    if worst:
        note = f"Shares of the rows of the window, and of the {NAMES[reading.judged]}."
        yield Section("Largest differences", note, [_chart(each) for each in worst])


def _chart(drift: ColumnDrift) -> Chart:
    def draw(axes: Axes) -> None:
        places = np.arange(len(drift.bins))
        axes.bar(places - 0.2, drift.reference, 0.4, label=NAMES[drift.against])
        axes.bar(places + 0.2, drift.window, 0.4, label="window")
        axes.set_xticks(places, [name[:12] for name in drift.bins], rotation=60, ha="right", fontsize=6)

    return chart(f"{drift.column}: PSI {drift.psi:.2f}", draw, NARROW)


def _columns(reading: DriftReading) -> Iterator[Table]:
    """A table for each comparison, first the one that may alarm."""
    for against in sorted({each.against for each in reading.drifts}, key=lambda name: name != reading.judged):
        found = [each for each in reading.drifts if each.against == against]
        note = COLUMNS_NOTE if against == reading.judged else f"Without an alarm: the {NAMES[reading.judged]} decides."
        rows = [[each.column, f"{each.psi:.3f}", _p(each.p), "drift" if each.alarm else ""] for each in found]
        yield Table(f"Against the {NAMES[against]}", ["column", "PSI", "p", ""], rows, note)


def _segments(reading: DriftReading) -> Iterator[Table]:
    if reading.segments:
        rows = [[name, ", ".join(_named(each) for each in drifts[:WORST])] for name, drifts in reading.segments.items()]
        note = f"Against the {NAMES[reading.judged]}, without an alarm. Warm users have {WARM} events. * p < {ALPHA}"
        yield Table("Segments", ["", "largest differences: column, PSI"], rows, note, prose=True)


def _skew(skew: Skew) -> Iterator[Table]:
    """Features of which some logged value differs from the recomputed one."""
    differ: Sequence[tuple[str, float]] = sorted(skew.shares.items(), key=lambda each: -each[1])
    rows = [[name, f"{share:.2%}"] for name, share in differ if share > 0]
    note = (
        f"{skew.rows:,} items were recomputed; a value differs above {TOLERANCE:g}. Not compared: "
        f"{skew.other_history:,} whose user has other events now, such as events that arrived late, and {skew.gone:,} "
        "that the store lacks now."
    )
    yield Table(
        "Logged features that differ from the store's", ["feature", "share of rows"] if rows else [], rows, note
    )


def _named(drift: ColumnDrift) -> str:
    star = "*" if drift.p < ALPHA else ""
    return f"{drift.column} {drift.psi:.2f}{star}"


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
