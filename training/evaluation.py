"""The metric table as a value: what was measured, for programs and for people. Knows neither models nor numpy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from rich.table import Table

from training.glimpse import Glimpse

K = 10
BASELINES = ("popularity", "recency_popularity", "ease_decay")
SERVED = "two_stage"
SEGMENTS = ("all", "warm", "cold")
METRICS = (f"recall@{K}", f"ndcg@{K}")

LEGEND = "Full ranking, nothing sampled; seen items out; ties against the model."

Row = dict[str, float | None]
"""One model's figures by name."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The metric table of one protocol.

    rows: {model: {"recall@10": …, "warm_recall@10": …, "se_recall@10": …, "cold_queries": …}}; a segment without
    queries has counts of 0 and metrics of None. order: the one feature that orders candidates where no ranker could be
    taught. glimpse: the spread of scores and some users' slates.
    """

    protocol: str
    users: int
    items: int
    queries: int
    seconds: float
    rows: dict[str, Row]
    warnings: list[str] = field(default_factory=list)
    order: str | None = None
    glimpse: Glimpse | None = None

    def to_json(self) -> str:
        """As programs read it."""
        return json.dumps(asdict(self), indent=2)

    @property
    def served(self) -> Row:
        """The row of what we serve."""
        return self.rows[SERVED]

    @property
    def best_baseline(self) -> str:
        """The baseline with the highest recall."""
        return max(BASELINES, key=lambda name: self.rows[name][METRICS[0]] or 0.0)

    def shortfalls(self) -> list[str]:
        """A sentence for each metric in which some baseline beats what we serve."""
        told = []
        for name in (prefix_of(segment) + metric for segment in SEGMENTS for metric in METRICS):
            best = max(BASELINES, key=lambda baseline: self.rows[baseline][name] or 0.0)
            ours, theirs = self.served[name] or 0.0, self.rows[best][name] or 0.0
            if theirs > ours:
                told.append(
                    f"{best} beats what is served in {name.replace('_', ' ')}: {theirs:.4f} against {ours:.4f}."
                )
        return told

    def to_table(self) -> Table:
        """For a person at a terminal."""
        recall = METRICS[0]
        error = f" One standard error of our {recall}: {self.served[f'se_{recall}'] or 0:.4f}."
        table = Table(title=self._title(), caption=LEGEND + error, caption_justify="left")
        table.add_column("model", no_wrap=True)
        for head in _heads():
            table.add_column(head.replace(" ", "\n").replace("@", "\n@"), justify="right", no_wrap=True)
        for name, row in self.rows.items():
            table.add_row(name, *_cells(row, errors=False), style="bold" if name == SERVED else None)
        return table

    def to_markdown(self) -> str:
        """For an artifact or a document."""
        rows = [["model", *_heads()], ["---"] + ["---:"] * len(_heads())]
        rows += [[name, *_cells(row, errors=True)] for name, row in self.rows.items()]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        return f"**{self._title()}**\n\n{table}\n\n{LEGEND} ± one standard error, clustered by user."

    def _title(self) -> str:
        return f"{self.protocol}: {self.queries:,} queries, {self.users:,} users, {self.items:,} items"


def _heads() -> list[str]:
    return [f"{segment} {metric}" for segment in SEGMENTS for metric in METRICS]


def _cells(row: Mapping[str, float | None], *, errors: bool) -> list[str]:
    def cell(prefix: str, metric: str) -> str:
        value, error = row[prefix + metric], row[f"{prefix}se_{metric}"]
        if value is None:
            return "-"
        told = f"{value:.4f} ±{error:.4f}" if errors else f"{value:.4f}"
        return told.replace("0.", ".")

    return [cell(prefix_of(segment), metric) for segment in SEGMENTS for metric in METRICS]


def prefix_of(segment: str) -> str:
    """What a segment's figures begin with."""
    return "" if segment == "all" else f"{segment}_"
