"""The table of `python -m flows runs`: the last run of each flow (a job such as `train`), and how it ended."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from flows.operate.status import duration_text
from recsys.store.run_record import RunRecord


def to_table(records: Sequence[RunRecord], now: float) -> Table:
    """One row for each flow, within 80 columns; `--json` has all fields. now: unix seconds."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("flow/deployment", "state", "began"):
        table.add_column(column, no_wrap=True)
    for column in ("took", "rows"):
        table.add_column(column, no_wrap=True, justify="right")
    for record in records:
        rows = record.figures.rows_out
        table.add_row(
            f"{record.flow}/{record.deployment}",
            record.state_at(now),
            f"{duration_text(now - record.start)} ago",
            f"{record.seconds(now):.1f} s",
            "" if rows is None else f"{rows:,}",
        )
    return table
