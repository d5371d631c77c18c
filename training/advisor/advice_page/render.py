"""The page of an advice: one HTML file with the surfaces, costs, freshness curves and the checklist."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import FileSystemLoader

from recsys.surfaces import shown_duration
from training.advisor.advice import Advice
from training.advisor.advise_options import TOLERANCE
from training.advisor.checklist import QUESTIONS
from training.advisor.curves import NAMES, SEGMENTS, WHATS, FreshnessCurve, Measurement, MetricByAge, What, fit
from training.advisor.thresholds import percent, shown
from training.report import page
from training.report.charts import COLOURS, NARROW, Chart, chart
from training.report.page import Report, Section, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

APART = 0.06
"""Of the distance between two ages: how far the bars of two segments are apart."""


def freshness(measurement: Measurement, what: What) -> list[Chart]:
    """Recall@10 and NDCG@10 by age, a line for each segment; no charts for a part that was not measured."""
    curves = [curve for segment in SEGMENTS if (curve := measurement.curve(what, segment))]
    if not curves:
        return []
    ages = sorted({age for curve in curves for age in curve.ages_s})
    return [_chart(curves, ages, what, name) for name in NAMES]


def _chart(curves: list[FreshnessCurve], ages: list[float], what: What, name: str) -> Chart:
    def draw(axes: Axes) -> None:
        for place, curve in enumerate(curves):
            shift = APART * (place - (len(curves) - 1) / 2)
            _draw(axes, curve, getattr(curve, name), [ages.index(age) + shift for age in curve.ages_s])
        axes.set_xticks(range(len(ages)), [shown_duration(age) if age else "request" for age in ages])

    title = f"{NAMES[name]} by age: {WHATS[what]}"
    return chart(title, draw, (NARROW[0], NARROW[1] + 0.3), xlabel="made every")


def _draw(axes: Axes, curve: FreshnessCurve, metric: MetricByAge, at: list[float]) -> None:
    colour = COLOURS[[*SEGMENTS].index(curve.segment)]
    for judged in (True, False):
        rows = [row for row, each in enumerate(curve.judged) if each is judged]
        if rows:
            axes.errorbar(
                [at[row] for row in rows],
                [metric.mean[row] for row in rows],
                yerr=[2 * metric.paired_se[row] for row in rows],
                fmt="o",
                color=colour,
                markerfacecolor=colour if judged else "none",
                label=curve.segment if judged else None,
            )
    fitted = [
        math.nan if loss is None else metric.mean[row] + metric.paired_loss[row] - loss
        for row, loss in enumerate(fit(curve, metric).loss)
    ]
    axes.plot(at, fitted, color=colour, linestyle="--", linewidth=1)


FOLDER = Path(__file__).parent

NO_PROFILE = "No costs were measured on this machine: nothing is said on CPU, memory and money (--profile FILE)."

HEADINGS = {
    "money": "money, a million slates",
    "cpu_s": "CPU s, a million slates",
    "list_cpu_s": "CPU s of their lists",
    "cores": "cores at the peak",
    "redis_bytes": "bytes in Redis",
}
"""The figures of `ModeCost` in the table of costs, with their headings."""


def html(advice: Advice) -> str:
    """The page."""
    templates = page.TEMPLATES.overlay(loader=FileSystemLoader([FOLDER, Path(page.__file__).parent]))
    text = templates.get_template("advice.html.j2").render(
        report=_report(advice),
        advice=advice,
        headings=HEADINGS,
        no_profile=NO_PROFILE,
        percent=percent,
        shown_figure=shown_figure,
    )
    return text.encode("utf-8", "replace").decode("utf-8")


def shown_figure(value: float) -> str:
    """A figure as text."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 or value == 0 else f"{value:.4f}"


def assumptions(advice: Advice) -> list[str]:
    """Which figures the user did not state, and what the log does not allow, in sentences."""
    found = []
    if advice.assumed:
        found.append(
            f"Assumed, because it was not stated: {', '.join(_assumed(advice, name) for name in advice.assumed)}."
        )
    highest = max((point.rate for point in advice.profile.points), default=0.0) if advice.profile else 0.0
    if advice.profile and highest < advice.workload.peak:
        rates = f"up to {shown(highest)} slates a second, and the peak is {shown(advice.workload.peak)}"
        found.append(f"The costs were measured {rates}: latencies at the peak are those of the highest measured rate.")
    if not advice.measurement.exact_times:
        found.append("The log has no exact times within a day: ages below 1d are not judged.")
    return [*found, *advice.measurement.notes]


def _assumed(advice: Advice, name: str) -> str:
    """A figure with the default value that it has."""
    if name == "tolerance":
        return f"{name} {percent(TOLERANCE)}"
    value = getattr(advice.workload, name)
    words = "of the profile" if value is None else shown_duration(value) if name.endswith("_every") else f"{value:g}"
    return f"{name.replace('_', ' ')} {words}"


def _report(advice: Advice) -> Report:
    measured = advice.measurement
    return Report(
        f"Which mode for which surface: {measured.data}",
        f"{measured.queries:,} queries, {measured.users:,} users, {measured.items:,} items",
        " ".join(assumptions(advice)),
        None,
        [*_curves(advice), _fresh_until(advice), _checklist(advice)],
        headline=[(name, each.mode, f"{percent(each.share)} of the slates") for name, each in advice.surfaces.items()],
        details=("surfaces.toml", advice.surfaces_toml),
    )


def _curves(advice: Advice) -> Iterator[Section | Table]:
    """Charts and tables of the freshness curves, and which of them no curve fits that falls with age."""
    charts = [chart for what in WHATS for chart in freshness(advice.measurement, what)]
    note = (
        "How good the first ten items are when a part of the answer is made less often than at each request. Bars are "
        "two paired standard errors to each side, clustered by user. Dashed: the closest curve that falls with age. "
        "Hollow points are not judged."
    )
    misfits = advice.to_json()["misfits"]
    yield Section("Freshness", " ".join([note, *misfits]), charts)
    yield from (_by_age(advice.measurement, name) for name in NAMES)


def _by_age(measurement: Measurement, name: str) -> Table:
    """A metric of every curve by age."""
    ages = sorted({age for curve in measurement.curves for age in curve.ages_s})
    rows = [
        [f"{WHATS[curve.what]}, {curve.segment}", f"{curve.queries:,}", *(_cell(curve, name, age) for age in ages)]
        for curve in measurement.curves
    ]
    header = ["part, segment", "queries", *map(shown_age, ages)]
    note = "By the time between two makings; in brackets the paired loss against realtime ± one standard error."
    return Table(NAMES[name], header, rows, note)


def _cell(curve: FreshnessCurve, name: str, age: float) -> str:
    if age not in curve.ages_s:
        return ""
    row, metric = curve.ages_s.index(age), getattr(curve, name)
    loss = f"{metric.paired_loss[row]:+.4f} ±{metric.paired_se[row]:.4f}" if curve.judged[row] else "not judged"
    return f"{metric.mean[row]:.4f} ({loss})"


def shown_age(age: float) -> str:
    """The time between two makings."""
    return shown_duration(age) if age else "request"


def _fresh_until(advice: Advice) -> Table:
    rows = [[WHATS[what], _limit(age)] for what, age in advice.fresh_until.items()]
    return Table(
        "How often each part has to be made", [], rows, "The longest measured time that is fresh enough.", prose=True
    )


def _limit(age: float | None) -> str:
    return "not measured" if age is None else "at no measured time" if age < 0 else shown_age(age)


def _checklist(advice: Advice) -> Table:
    rows = []
    for name, question in QUESTIONS.items():
        answer = question.answers.get(advice.checklist.answers.get(name, ""))
        rows.append([question.text, answer.text if answer else "not answered", answer.vote if answer else ""])
    return Table("The checklist", ["question", "answer", "speaks for"], rows, advice.checklist.sentence, prose=True)
