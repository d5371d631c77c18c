"""The quarantine: bad rows and bad values of a table are taken out, counted by reason and written to CSV files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from recsys.errors import DatasetError

MOSTLY_BAD = 0.5
"""Share of bad rows, or of bad values of a column, past which a table is refused: the mapping is wrong then."""

GIVEN = "_given"
"""After a column's name: the same cells before they were read, for the quarantine file and for sentences."""


class Quarantine:
    """Takes bad rows out of a table, with the reason beside each.

    counts: {table: {reason: rows}}. values: {table: {reason: values}}, of rows that stay. examples: the column and two
    rows, by table and reason.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.counts: dict[str, dict[str, int]] = {}
        self.values: dict[str, dict[str, int]] = {}
        self.examples: dict[str, str] = {}

    def sift(
        self, table: str, frame: pd.DataFrame, schema: pa.DataFrameSchema, source: str, columns: Mapping[str, str]
    ) -> pd.DataFrame:
        """The rows of `frame` that `schema` accepts; DatasetError if most are bad.

        columns: the file's name of each of Tandem's columns.
        """
        try:
            good: pd.DataFrame = schema.validate(frame, lazy=True)
            return good
        except pa.errors.SchemaErrors as errors:
            cases = errors.failure_cases.dropna(subset=["index"]).drop_duplicates("index")
        checks = cases["check"].replace("not_nullable", "empty")
        bad = frame.loc[cases["index"]].assign(
            reason=[f"{c}: {k}" for c, k in zip(cases["column"], checks, strict=True)]
        )
        counts = bad["reason"].value_counts()
        self._count(table, {str(reason): int(n) for reason, n in counts.items()})
        self._write(table, bad)
        shown = {str(reason): _shown(frame, bad, str(reason), columns) for reason in counts.index}
        self.examples |= {f"{table}, {reason}": f"The column {rows}" for reason, rows in shown.items()}
        if len(bad) > MOSTLY_BAD * len(frame):
            reason = str(counts.index[0])
            column = reason.split(":", 1)[0]
            setting = f"{column} and timestamp_format" if column == "timestamp" else column
            raise DatasetError(
                f"{len(bad):,} of {len(frame):,} rows of {source} are bad, most for '{reason}' in the column "
                f"{shown[reason]}. Check {setting} in [{table}] of the mapping; docs/data.md lists what the values may "
                "be."
            )
        kept: pd.DataFrame = frame.drop(index=bad.index)
        return kept

    def skip(self, table: str, lines: list[int]) -> None:
        """Note lines of a file that are no rows at all."""
        if lines:
            self._count(table, {"too many fields": len(lines)})
            self._write(f"{table}-lines", pd.DataFrame({"line": lines, "reason": "too many fields"}))

    def note_values(self, table: str, values: pd.Series, reason: str) -> None:
        """Note bad values, by the index of their rows: each is left empty, and its row stays."""
        if len(values):
            why = f"{values.name}: {reason}"
            self.values.setdefault(table, {})[why] = len(values)
            self.examples[f"values of {table}, {why}"] = f"The column '{values.name}': {named(values)}"
            file = f"{table}-values-{values.name}".replace("/", "-")  # a column may be called price/EUR
            self._write(file, values.to_frame().assign(reason=reason))

    def _count(self, table: str, reasons: dict[str, int]) -> None:
        self.counts.setdefault(table, {}).update(reasons)

    def _write(self, name: str, rows: pd.DataFrame) -> None:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            rows.to_csv(self.folder / f"{name}.csv", index_label="row")


def named(rows: pd.Series, most: int = 2) -> str:
    """The first rows of a column as a sentence names them: row 3 'a' and row 5 'b'."""
    return " and ".join(f"row {row} '{value}'" for row, value in rows.head(most).items())


def _shown(frame: pd.DataFrame, bad: pd.DataFrame, reason: str, columns: Mapping[str, str]) -> str:
    """The column of a reason, as the file names it, and two of its bad rows as they were given."""
    column = reason.split(":", 1)[0]
    given = frame[column + GIVEN] if column + GIVEN in frame else frame[column]
    return f"'{columns.get(column, column)}': {named(given[bad.index[bad['reason'] == reason]])}"
