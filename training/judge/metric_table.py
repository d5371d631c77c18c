"""The metric table of an evaluation: recall, NDCG and coverage of each model and baseline, as data, for a terminal, in
Markdown and in JSON.

It imports no models and no numpy, so that the flows, the report and the gate (the checks before a model goes live) read
tables without torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from training.results import ArmJudgement, ImpressionComparison, Preview

K = 10
PERSONAL = ("newest_items", "frequent_items", "frequent_decayed")
"""Baselines that order the user's own items; a dataset whose every seen item is left out has none of them."""

BASELINES = ("popularity", "recency_popularity", "item_knn", "ease_decay", "ials", *PERSONAL)
"""Rows that the served model has to beat. A baseline whose package is missing has no row."""

SERVED, TOWER = "two_stage", "tower"
"""The rows of the served model, and of the towers alone."""

EVENT_BEFORE = "_event_before"
"""The suffix of a model's second row: the same targets, each query at the time of the user's newest event."""

SEGMENTS = ("all", "warm", "cold", "new")
"""Test events: all; of users with and without an earlier event; of items without an earlier event."""

NEWEST = "newest"
"""A further segment: the newest test events of target types, on which the gate also scores the model to publish."""

OVERALL, OF_TYPE = "overall", "type:"
"""Further segments of a log with several event types: all types, and one type, whether it is a target type or not."""

RECALL_AT, NDCG_AT = (K, 20, 100, 200), (K, 20)
METRICS = (f"recall@{K}", f"ndcg@{K}")
"""The metrics of the first table, in which the served model is compared with the baselines."""

FURTHER = (*(f"recall@{k}" for k in RECALL_AT[1:]), *(f"ndcg@{k}" for k in NDCG_AT[1:]))
SE_DIFFERENCE = "se_difference_"
"""The prefix of a figure of METRICS: the standard error of the served model's minus this model's, query by query."""

COVERAGE = f"coverage@{K}"
"""Share of the ranked items that are among the first K of at least one query."""

Row = dict[str, float | None]
"""The figures of one model by name."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures of the tested model and another generation on the test queries that neither model learned from.

    live: the id of that generation: the live one, or the best one of 30 days. ours, theirs: rows of the metric table,
    without coverage; empty where there is no such query. reason: why it was not scored; empty where it was.
    """

    live: str
    ours: Mapping[str, float | None] = field(default_factory=dict)
    theirs: Mapping[str, float | None] = field(default_factory=dict)
    reason: str = ""

    @property
    def queries(self) -> int:
        """Queries of target types that both models answered."""
        return int(self.theirs.get("queries") or 0)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The metric table of a test by one protocol (a way to cut the log).

    items: the number of ranked items. rows: {model: {"recall@10": …, "warm_recall@10": …, "se_recall@10": …,
    "warm_se_recall@10": …, "cold_queries": …, "coverage@10": …}}, for METRICS, FURTHER and SEGMENTS; the metrics of a
    segment without queries are None. Rows beside the served model's have SE_DIFFERENCE, too. Names with EVENT_BEFORE
    are of the same models at another time. order: the simple order that ranks the candidates; None where a trained
    ranker does. preview: the spread of the scores and the slates of some users. targets: the event types that the
    figures are about, but for segments of OVERALL and OF_TYPE; empty means every positive type. seen: the seen items
    that the rankings leave out, in words. comparison: with the live generation; None where no comparable generation is
    live. best: with the best generation of 30 days; None where that is the live one. impressions: what the ranker
    learned from slates that users were shown; None without such slates. policy: the tested model by slates that
    explored; None without impressions.
    """

    protocol: str
    users: int
    items: int
    queries: int
    seconds: float
    rows: dict[str, Row]
    warnings: list[str] = field(default_factory=list)
    order: str | None = None
    preview: Preview | None = None
    targets: tuple[str, ...] = ()
    seen: str = ""
    comparison: Comparison | None = None
    best: Comparison | None = None
    impressions: ImpressionComparison | None = None
    policy: ArmJudgement | None = None

    def to_json(self) -> str:
        """The JSON of `evaluate --json`; the preview has its released name, glimpse."""
        fields = asdict(self)
        fields["glimpse"] = fields.pop("preview")
        return json.dumps(fields, indent=2)

    @property
    def served(self) -> Row:
        """The row of the served model."""
        return self.rows[SERVED]

    @property
    def target_queries(self) -> int:
        """Queries of target types, which the gate compares."""
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
    def segments(self) -> list[str]:
        """The segments of SEGMENTS that have queries; warm users only beside cold ones, because else they are all."""
        found = [segment for segment in SEGMENTS if segment == "all" or self.served.get(f"{prefix_of(segment)}queries")]
        return found if "cold" in found else [segment for segment in found if segment != "warm"]

    @property
    def by_type(self) -> list[str]:
        """The segments of event types that have queries; none in a log of one type."""
        found = [
            name.removesuffix("_queries") for name, count in self.served.items() if name.endswith("_queries") and count
        ]
        return [segment for segment in found if segment == OVERALL or segment.startswith(OF_TYPE)]

    @property
    def legend(self) -> str:
        """How the rankings were made, for the footer of a table."""
        rules = ["Full ranking", "nothing sampled", *([self.seen] if self.seen else []), "ties against the model"]
        moved = any(name.endswith(EVENT_BEFORE) for name in self.rows)
        times = f" …{EVENT_BEFORE}: each query at the time of the user's newest event." if moved else ""
        return f"{'; '.join(rules)}. union: each source asked for k items.{times}"

    @property
    def title(self) -> str:
        """The heading of the table."""
        queries = f"{self.target_queries:,} queries{self.of_targets}"
        return f"{self.protocol}: {queries}, {self.users:,} users, {self.items:,} items"

    def shortfalls(self) -> list[str]:
        """A sentence for each metric in which a baseline beats the served model."""
        sentences = []
        for name in (prefix_of(segment) + metric for segment in self.segments for metric in METRICS):
            best = max(self.baselines, key=lambda baseline: self.rows[baseline][name] or 0.0)
            ours, theirs = self.served[name] or 0.0, self.rows[best][name] or 0.0
            if theirs > ours:
                figures = f"{theirs:.4f} against {ours:.4f}"
                sentences.append(f"{best} beats what is served in {name.replace('_', ' ')}: {figures}.")
        return sentences

    def to_table(self) -> Group:
        """Tables for a terminal: the metrics by segment and by event type, and the further metrics of all queries."""
        error = f" One standard error of our {METRICS[0]}: {self.served[f'se_{METRICS[0]}'] or 0:.4f}."
        tables = [self._table(self.title, self.segments, METRICS, self.legend + error)]
        if types := self.by_type:
            # One table for each metric: two columns for each of three types are wider than a terminal of 80 columns.
            tables += [self._table(f"{name} by event type of the query", types, (name,)) for name in METRICS]
        further = f"all queries{self.of_targets}, further down the list"
        return Group(*tables, self._table(further, ["all"], (*FURTHER, COVERAGE)))

    def to_markdown(self) -> str:
        """The tables for a Prefect artifact or a document, with standard errors."""
        first = self._markdown(self.segments, METRICS)
        if types := self.by_type:
            first += f"\n\nBy event type:\n\n{self._markdown(types, METRICS)}"
        further = self._markdown(["all"], (*FURTHER, COVERAGE))
        return f"**{self.title}**\n\n{first}\n\n{self.legend} ± one standard error, clustered by user.\n\n{further}"

    def cells(self, segments: Sequence[str], metrics: Sequence[str], *, errors: bool = True) -> list[list[str]]:
        """The head of a table and its rows as texts; errors: with standard errors."""

        def cell(row: Row, name: str, error: float | None) -> str:
            value = row.get(name)
            if value is None:
                return "-"
            return (f"{value:.4f} ±{error:.4f}" if errors and error is not None else f"{value:.4f}").replace("0.", ".")

        labels = ["all types" if segment == OVERALL else segment.removeprefix(OF_TYPE) for segment in segments]
        heads = [*metrics] if len(labels) == 1 else [f"{label} {metric}" for label in labels for metric in metrics]
        columns = [(prefix_of(segment), metric) for segment in segments for metric in metrics]
        return [["model", *(labels if len(metrics) == 1 else heads)]] + [
            [model, *(cell(row, prefix + metric, row.get(f"{prefix}se_{metric}")) for prefix, metric in columns)]
            for model, row in self.rows.items()
        ]

    def _table(self, title: str, segments: Sequence[str], metrics: Sequence[str], caption: str | None = None) -> Table:
        table = Table(title=title, caption=caption, caption_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
        (model, *heads), *rows = self.cells(segments, metrics, errors=False)
        table.add_column(model, no_wrap=True)
        for head in heads:
            table.add_column(head.replace(" ", "\n").replace("@", "\n@"), justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*row, style="bold" if row[0] == SERVED else None)
        return table

    def _markdown(self, segments: Sequence[str], metrics: Sequence[str]) -> str:
        head, *rows = self.cells(segments, metrics)
        lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def prefix_of(segment: str) -> str:
    """The prefix of the names of a segment's figures."""
    return "" if segment == "all" else f"{segment}_"
