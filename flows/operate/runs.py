"""The table of `python -m flows runs`: the last run of each flow (a job such as `train`), and how it ended."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from flows.operate.status import duration_text
from recsys.store.run_record import RunRecord


def to_table(records: Sequence[RunRecord], now: float) -> Table:
    """One row for each flow. now: unix seconds."""
    table = Table(title="the last run of each flow")
    for column in ("flow", "deployment", "state", "began", "took", "rows in", "rows out", "recall@10", "generation"):
        table.add_column(column)
    for record in records:
        figures = record.figures
        table.add_row(
            record.flow,
            record.deployment,
            record.state_at(now),
            f"{duration_text(now - record.start)} ago",
            f"{record.seconds(now):.1f} s",
            _count(figures.rows_in),
            _count(figures.rows_out),
            "-" if figures.quality is None else f"{figures.quality:.4f}",
            figures.generation or "-",
        )
    return table


def _count(rows: int | None) -> str:
    return "-" if rows is None else f"{rows:,}"
