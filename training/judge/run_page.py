"""The HTML report page of a training run: metrics with errors, learning curves, recommendations for ten users, the
gate's checks, and the dataset in figures.

The gate decides whether a newly trained model may go live.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from training.config import TrainingConfig
from training.judge.gate.check import Check
from training.judge.gate.dataset_profile import DataProfile, LiveGeneration
from training.judge.metric_table import BASELINES, COVERAGE, FURTHER, METRICS, OF_TYPE, SERVED, Evaluation, prefix_of
from training.progress import Curve
from training.read.quarantine import CollectedNotes
from training.report import page
from training.report.charts import COLOURS, NARROW, SOFT, Chart, chart
from training.report.page import Report, Section, Table
from training.results import Scores, Slate

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def metric_chart(evaluation: Evaluation, metric: str, segment: str) -> Chart:
    """One metric of every model in one segment, with bars of two standard errors."""
    prefix = prefix_of(segment)
    models = [model for model, row in evaluation.rows.items() if row.get(prefix + metric) is not None][::-1]

    def draw(axes: Axes) -> None:
        for place, model in enumerate(models):
            row = evaluation.rows[model]
            value, error = row.get(prefix + metric) or 0.0, row.get(f"{prefix}se_{metric}") or 0.0
            colour = COLOURS[0] if model == SERVED else SOFT if model in BASELINES else COLOURS[1]
            axes.errorbar(value, place, xerr=2 * error, fmt="o", color=colour)
        axes.set_yticks(range(len(models)), models)

    queries = evaluation.served.get(f"{prefix}queries") or 0
    size = NARROW[0], 0.7 + 0.2 * len(models)
    title = f"{metric}, {segment.removeprefix(OF_TYPE)}, {queries:,.0f} queries"
    return chart(title, draw, size, legend=False, xlim=(0, None))


def histogram(ours: Scores, live: Scores | None) -> Chart:
    """The share of queries by the ranker's confidence."""
    edges = [bar / len(ours.histogram) for bar in range(len(ours.histogram) + 1)]

    def draw(axes: Axes) -> None:
        axes.stairs(_shares(ours.histogram), edges, fill=True, color=COLOURS[0], label="this run")
        if live:
            axes.stairs(_shares(live.histogram), edges, color=COLOURS[1], linewidth=1.6, label="what is live")

    title = "Queries by the softmax on their first ten"
    return chart(title, draw, NARROW, xlabel="softmax on the first ten", ylabel="% of the queries", xlim=(0, 1))


def learning_curve(step: str, curve: Curve) -> Chart:
    """The loss over a step."""

    def draw(axes: Axes) -> None:
        axes.plot([100 * share for share, _ in curve], [loss for _, loss in curve])

    title = f"{step}: loss from {curve[0][1]:.3f} to {curve[-1][1]:.3f}"
    return chart(title, draw, NARROW, xlabel="% of the step", ylabel="loss")


def _shares(counts: Sequence[int]) -> list[float]:
    return [100 * count / (sum(counts) or 1) for count in counts]


@dataclass
class RunReport:
    """A run: its data and configuration from the start, the rest as the run reaches it.

    curves: of `LearningCurves`, filled during the run. live: the live generation, None if there is none. generation:
    the published id, None if nothing was published. refused: whether the gate stopped the run.
    """

    data: DataProfile
    config: TrainingConfig
    curves: Mapping[str, Curve]
    live: LiveGeneration | None = None
    started: float = field(default_factory=time.time)
    evaluation: Evaluation | None = None
    checks: list[Check] = field(default_factory=list)
    generation: str | None = None
    refused: bool = False


def write(run: RunReport, path: Path) -> Path:
    """Write the page of a run to `path`. Return the path."""
    return page.write(report(run), path)


def report(run: RunReport) -> Report:
    """The page of a run."""
    name = run.generation or ("refused" if run.refused else "evaluated")
    failed = [check.sentence for check in run.checks if check.verdict == "failed"]
    sentence = "The gate refused this run; nothing was published." if run.refused else "Forced past the gate."
    return Report(
        f"Training run on {run.data.name}",
        f"{name} · {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(run.started))}",
        sentence if failed else "",
        False if failed else None,
        [*_figures(run), *_curves(run), *_users(run), *_gate(run), _data(run)],
        failed,
        [*_headline(run)],
        ("Configuration of the run", json.dumps(asdict(run.config), indent=2, default=str)),
    )


def _headline(run: RunReport) -> Iterator[tuple[str, str, str]]:
    if evaluation := run.evaluation:
        best = evaluation.best_baseline
        for metric in METRICS:
            ours, theirs = evaluation.served.get(metric), evaluation.rows[best].get(metric)
            if ours is not None:
                remark = "" if theirs is None else f"{best} {theirs:.4f}" + _more(ours, theirs)
                yield f"{metric}{evaluation.of_targets}, as served", f"{ours:.4f}", remark
    data = run.data
    yield "interactions", f"{data.rows:,}", f"{data.users:,} users, {data.items:,} items"
    if run.checks:
        failed = sum(check.verdict == "failed" for check in run.checks)
        judged = sum(check.verdict != "not judged" for check in run.checks)
        yield "the gate", f"{failed} failed" if failed else "passed", f"of {judged} checks"


def _more(ours: float, theirs: float) -> str:
    return f", {ours / theirs - 1:+.0%}" if theirs else ""


def _figures(run: RunReport) -> Iterator[Section | Table]:
    """Metrics of each model by segment, and the confidence of the ranker."""
    if (evaluation := run.evaluation) is None:
        return
    sentence = (
        f"{evaluation.queries:,} queries of {evaluation.users:,} users, protocol {evaluation.protocol}, "
        f"{evaluation.items:,} items. {evaluation.legend} "
        "Bars are two standard errors to each side, clustered by user."
    )
    notes = "".join(f" Note: {warning}" for warning in evaluation.warnings)
    found = [*evaluation.segments, *evaluation.by_type]
    charts = [metric_chart(evaluation, metric, segment) for metric in METRICS for segment in found]
    yield Section("How good it is", sentence + notes, charts)
    note = "± one standard error, clustered by user."
    yield _metric_table("Metrics", evaluation.cells(found, METRICS), note)
    note = "All queries. Coverage is the share of the catalogue that is among the first ten of at least one query."
    yield _metric_table("Further down the list", evaluation.cells(["all"], (*FURTHER, COVERAGE)), note)
    if preview := evaluation.preview:
        live = run.live.scores if run.live else None
        note = f"Share of the softmax over the candidates that the first ten hold; {preview.scores.queries:,} queries."
        yield Section("How sure the ranker is", note, [histogram(preview.scores, live)])


def _metric_table(title: str, cells: list[list[str]], note: str) -> Table:
    return Table(title, cells[0], cells[1:], note, SERVED)


def _curves(run: RunReport) -> Iterator[Section]:
    charts = [learning_curve(step, curve) for step, curve in run.curves.items() if len(curve) > 1]
    if charts:
        yield Section("Learning curves", "Smoothed loss of each step.", charts)


def _users(run: RunReport) -> Iterator[Section]:
    """Users drawn from the test: their history, their slate, and their next items."""
    if run.evaluation and (preview := run.evaluation.preview) and preview.slates:
        note = f"{len(preview.slates)} users drawn at random from the test; the model had not seen their next items."
        yield Section("What users would have seen", note, [_slate(slate) for slate in preview.slates])


def _slate(slate: Slate) -> Table:
    first = slate.events - len(slate.history) + 1
    past = [f"{place}. {title}" for place, title in enumerate(slate.history, first)]
    shown = [
        f"{place}. {title}" + (" ✓" if place - 1 in slate.hits else "") for place, title in enumerate(slate.shown, 1)
    ]
    more = len(slate.targets) - 4
    targets = ", ".join(slate.targets[:4]) + (f" and {more} more" if more > 0 else "")
    places = ", ".join(str(place + 1) for place in slate.hits)
    where = f"at place {places}" if places else "not on the slate"
    rows = [[*pair] for pair in zip_longest(past, shown, fillvalue="")]
    header = ["history, newest last" if past else "no history", "slate"]
    return Table(f"User {slate.user}", header, rows, f"Next: {targets}, {where}.", prose=True)


def _gate(run: RunReport) -> Iterator[Table]:
    if run.checks:
        marks = {"passed": "✓ passed", "failed": "✕ failed"}
        rows = [[marks.get(check.verdict, check.verdict), check.sentence] for check in run.checks]
        live = run.live
        against = f"Against what is live, {live.id}." if live else "Against the baselines; nothing was live."
        yield Table("The gate", [], rows, against, prose=True)


def _data(run: RunReport) -> Table:
    data, days = run.data, (run.data.last - run.data.first) / 86_400
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(moment)) for moment in (data.first, data.last))
    rows = [
        ["interactions", f"{data.rows:,}"],
        ["users", f"{data.users:,}"],
        ["items", f"{data.items:,}, of which {data.described:,} in the items table"],
        ["window", f"{first} to {last}, {days:,.0f} days"],
        *([f"events of type {name}", f"{share:.1%}"] for name, share in list(data.types.items())[:20]),
        *([f"items with {column}", f"{share:.1%}"] for column, share in data.filled.items()),
        *([f"set aside: {reason}", f"{count:,}"] for reason, count in data.set_aside.items()),
    ]
    if data.collected:
        rows.append(["of which collected", CollectedNotes.from_json(data.collected).sentence])
    if data.duplicates:
        rows.append(["duplicate rows dropped", f"{data.duplicates:,}"])
    if not data.set_aside:
        rows.append(["set aside", "no rows"])
    return Table("The data", [], rows, prose=True)
