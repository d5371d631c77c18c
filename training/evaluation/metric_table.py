"""The metric table as a value: what was measured, for programs and for people. Knows neither models nor numpy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from training.evaluation.live_comparison import Comparison
from training.evaluation.preview import Glimpse

K = 10
PERSONAL = ("newest_items", "frequent_items", "frequent_decayed")
"""Rows that order the user's own items alone; there are none where every seen item is left out."""

BASELINES = ("popularity", "recency_popularity", "item_knn", "ease_decay", "ials", *PERSONAL)
"""Rows that have to be beaten; one that could not be made is left out."""

SERVED = "two_stage"
SEGMENTS = ("all", "warm", "cold", "new")
"""Target events: all, of users whom the models knew, of those they did not; and of items they had no event of."""

OVERALL, OF_TYPE = "overall", "type:"
"""Segments of a log of several event types: events of all types, and of one, whether they are targets or not."""

RECALL_AT, NDCG_AT = (K, 20, 100, 200), (K, 20)
METRICS = (f"recall@{K}", f"ndcg@{K}")
"""What the first table shows and a baseline is compared in."""

FURTHER = (*(f"recall@{k}" for k in RECALL_AT[1:]), *(f"ndcg@{k}" for k in NDCG_AT[1:]))
COVERAGE = f"coverage@{K}"
"""Share of the catalogue that is on somebody's slate."""

Row = dict[str, float | None]
"""One model's figures by name."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The metric table of one protocol.

    items: those that are ranked. rows: {model: {"recall@10": …, "warm_recall@10": …, "se_recall@10": …,
    "warm_se_recall@10": …, "cold_queries": …, "coverage@10": …}}, of METRICS and FURTHER and each of SEGMENTS; a
    segment without queries has counts of 0 and metrics of None. order: the simple order of candidates where no
    ranker could be taught. glimpse: the spread of scores and some users' slates. targets: the event types that the
    figures without OVERALL and OF_TYPE are of; every positive type where it is empty. seen: which items `exclude_seen`
    of the dataset left out of the rankings, from `SeenRule.footer`. comparison: with the live generation; None where
    nothing comparable is live.
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
    targets: tuple[str, ...] = ()
    seen: str = ""
    comparison: Comparison | None = None

    def to_json(self) -> str:
        """As programs read it."""
        return json.dumps(asdict(self), indent=2)

    @property
    def served(self) -> Row:
        """The row of what we serve."""
        return self.rows[SERVED]

    @property
    def judged(self) -> int:
        """Queries of target types: what the gate judges."""
        return int(self.served.get("queries") or self.queries)

    @property
    def of_targets(self) -> str:
        """The target types as the end of a sentence, after "of"; empty where every positive type is one."""
        return f" of {', '.join(self.targets)}" if self.targets else ""

    @property
    def baselines(self) -> list[str]:
        """The baselines that have a row."""
        return [name for name in BASELINES if name in self.rows]

    @property
    def best_baseline(self) -> str:
        """The baseline with the highest recall."""
        return max(self.baselines, key=lambda name: self.rows[name][METRICS[0]] or 0.0)

    @property
    def legend(self) -> str:
        """How the rankings were made, for the footer of a table."""
        rules = ["Full ranking", "nothing sampled", *([self.seen] if self.seen else []), "ties against the model"]
        return f"{'; '.join(rules)}. union: each source asked for k items."

    def shortfalls(self) -> list[str]:
        """A sentence for each metric in which some baseline beats what we serve."""
        told = []
        for name in (prefix_of(segment) + metric for segment in SEGMENTS for metric in METRICS):
            best = max(self.baselines, key=lambda baseline: self.rows[baseline][name] or 0.0)
            ours, theirs = self.served[name] or 0.0, self.rows[best][name] or 0.0
            if theirs > ours:
                told.append(
                    f"{best} beats what is served in {name.replace('_', ' ')}: {theirs:.4f} against {ours:.4f}."
                )
        return told

    def to_table(self) -> Group:
        """For a person at a terminal: the metrics by segment, then what else there is of all queries."""
        recall = METRICS[0]
        error = f" One standard error of our {recall}: {self.served[f'se_{recall}'] or 0:.4f}."
        caption = self.legend + error
        tables = [
            self._table(self._title(), _segments(self.served), METRICS, caption),
            self._table(f"all queries{self.of_targets}, further down the list", ["all"], (*FURTHER, COVERAGE)),
        ]
        if by_type := self.by_type:
            names = ["all types" if segment == OVERALL else segment.removeprefix(OF_TYPE) for segment in by_type]
            # A table a metric: two columns for each of three types are wider than a terminal of 80 columns.
            tables[1:1] = [
                self._table(f"{metric} by event type of the query", by_type, (metric,), heads=names)
                for metric in METRICS
            ]
        return Group(*tables)

    @property
    def by_type(self) -> list[str]:
        """The segments of event types that have queries; none in a log of one type."""
        found = [key.removesuffix("_queries") for key in self.served if key.endswith("_queries")]
        found = [segment for segment in found if segment == OVERALL or segment.startswith(OF_TYPE)]
        return [segment for segment in found if self.served[f"{prefix_of(segment)}queries"]]

    def to_markdown(self) -> str:
        """For an artifact or a document."""
        first = self._markdown(_segments(self.served), METRICS)
        if by_type := self.by_type:
            first += f"\n\nBy event type:\n\n{self._markdown(by_type, METRICS)}"
        further = self._markdown(["all"], (*FURTHER, COVERAGE))
        return f"**{self._title()}**\n\n{first}\n\n{self.legend} ± one standard error, clustered by user.\n\n{further}"

    def _table(
        self,
        title: str,
        segments: list[str],
        metrics: tuple[str, ...],
        caption: str | None = None,
        heads: list[str] | None = None,
    ) -> Table:
        table = Table(title=title, caption=caption, caption_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
        table.add_column("model", no_wrap=True)
        for head in heads or _heads(segments, metrics):
            table.add_column(head.replace(" ", "\n").replace("@", "\n@"), justify="right", no_wrap=True)
        for name, row in self.rows.items():
            cells = _cells(row, segments, metrics, errors=False)
            table.add_row(name, *cells, style="bold" if name == SERVED else None)
        return table

    def _markdown(self, segments: list[str], metrics: tuple[str, ...]) -> str:
        heads = _heads(segments, metrics)
        rows = [["model", *heads], ["---"] + ["---:"] * len(heads)]
        rows += [[name, *_cells(row, segments, metrics, errors=True)] for name, row in self.rows.items()]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def _title(self) -> str:
        return f"{self.protocol}: {self.judged:,} queries{self.of_targets}, {self.users:,} users, {self.items:,} items"


def _segments(row: Mapping[str, float | None]) -> list[str]:
    """All, and the other segments that have queries."""
    return [segment for segment in SEGMENTS if segment == "all" or row[f"{prefix_of(segment)}queries"]]


def _heads(segments: list[str], metrics: tuple[str, ...]) -> list[str]:
    return [metric if len(segments) == 1 else f"{segment} {metric}" for segment in segments for metric in metrics]


def _cells(
    row: Mapping[str, float | None], segments: list[str], metrics: tuple[str, ...], *, errors: bool
) -> list[str]:
    def cell(prefix: str, metric: str) -> str:
        value, error = row[prefix + metric], row.get(f"{prefix}se_{metric}")
        if value is None:
            return "-"
        told = f"{value:.4f} ±{error:.4f}" if errors and error is not None else f"{value:.4f}"
        return told.replace("0.", ".")

    return [cell(prefix_of(segment), metric) for segment in segments for metric in metrics]


def prefix_of(segment: str) -> str:
    """What a segment's figures begin with."""
    return "" if segment == "all" else f"{segment}_"
