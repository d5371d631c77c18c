"""Quarantine of a dataset's bad rows and bad values: take them out of a table, count them by reason, and write them to
CSV files.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from recsys.errors import DatasetError
from recsys.files.atomic_write import atomic_write
from training.read.locations import Location

MOSTLY_BAD = 0.5
"""Share of bad rows, or of bad values of a column, above which a table is refused: the mapping is wrong then."""

GIVEN = "_given"
"""Suffix of a column with the cells before they were parsed, for the quarantine file and for sentences."""


VALUES = "values of "
"""Before the table in a reason of `ReadingNotes.set_aside`: bad values, whose rows stay."""


@dataclass(frozen=True, slots=True)
class CollectedNotes:
    """The collected events that were added to a log. first, last: their times, unix seconds.

    repeats: events that the log has too.
    """

    rows: int
    first: float
    last: float
    repeats: int

    @classmethod
    def from_json(cls, raw: Mapping[str, float]) -> CollectedNotes:
        """The notes that a manifest keeps."""
        return cls(int(raw["rows"]), raw["first"], raw["last"], int(raw["repeats"]))

    @property
    def sentence(self) -> str:
        """The events in words."""
        first, last = (time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment)) for moment in (self.first, self.last))
        span = f", from {first} to {last} UTC" if self.rows else ""
        repeat = "repeats" if self.repeats == 1 else "repeat"
        return f"Collected events: {self.rows:,}{span}; {self.repeats:,} {repeat} a row of the log."


@dataclass
class ReadingNotes:
    """What was set aside, dropped or assumed while a dataset was read.

    set_aside: rows by table and reason, "items, item_id: empty", and values, "values of items, price: not a number".
    duplicates: rows of the log that repeat another row in every mapped column. ahead: kept rows whose time is ahead of
    the clock. collected: the events that were added to the log; None without. deleted: rows of deleted users that were
    left out. only_days: whether the times of the log's own rows have no time of day. assumptions: a sentence for each
    thing that the mapping leaves open. examples: a column and two of its rows, for the sentence of each check that may
    refuse the data.
    """

    set_aside: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    ahead: int = 0
    collected: CollectedNotes | None = None
    deleted: int = 0
    only_days: bool = False
    assumptions: tuple[str, ...] = ()
    examples: dict[str, str] = field(default_factory=dict)

    def bad_rows(self, tables: str = "") -> int:
        """Rows in quarantine, of all tables or of the table with this name."""
        return sum(
            count
            for reason, count in self.set_aside.items()
            if reason.startswith(tables) and not reason.startswith(VALUES)
        )

    def lines(self, events: int, quarantine: str = "") -> list[str]:
        """What was set aside and what was dropped, for a person. quarantine: where the bad rows are."""
        lines = [f"Set aside, {reason}: {count:,}" for reason, count in self.set_aside.items()]
        if lines and quarantine:
            lines.append(f"What was set aside, with the reasons: {quarantine}")
        if self.duplicates:
            lines.append(
                f"Duplicate rows dropped: {self.duplicates:,} of {events + self.duplicates:,} rows of the log, which "
                'repeat another row in every mapped column; duplicates = "keep" in [interactions] keeps them. '
                f"{self.examples['duplicates']}."
            )
        if self.collected:
            lines.append(self.collected.sentence)
        if self.deleted:
            lines.append(
                f"Rows of deleted users left out: {self.deleted:,}. The store remembers a deletion for 31 days: take "
                "these users out of the log by then."
            )
        return lines


class Quarantine:
    """Collects bad rows and values in `notes`, and in CSV files of a folder if there is one."""

    def __init__(self, folder: Path | None = None) -> None:
        self.notes = ReadingNotes()
        self._folder = folder

    def sift(
        self,
        table: str,
        frame: pd.DataFrame,
        bad: Mapping[str, pd.Series],
        file: Location,
        columns: Mapping[str, str],
        most: float = MOSTLY_BAD,
    ) -> pd.DataFrame:
        """The rows of `frame` without a reason in `bad`. DatasetError if more than the share `most` is bad.

        bad: the rows of each reason; a row has the first that applies. A reason begins with the name of a column of
        `frame`. columns: the file's name of each of these columns.
        """
        is_bad = np.logical_or.reduce([*bad.values()])
        if not is_bad.any():
            return frame
        reasons = pd.Series(np.select([mask[is_bad] for mask in bad.values()], [*bad], ""), frame.index[is_bad])
        self._write(table, frame.loc[reasons.index].assign(reason=reasons))
        counts = reasons.value_counts()
        for reason, count in counts.items():
            self.notes.set_aside[f"{table}, {reason}"] = int(count)
            column = str(reason).partition(":")[0]
            given = frame[column + GIVEN if column + GIVEN in frame else column]
            cells = given[reasons.index[reasons == reason]]
            self.note_example(f"{table}, {reason}", f"The column '{columns.get(column, column)}'", cells)
        if len(reasons) > most * len(frame):
            reason = str(counts.index[0])
            setting = reason.partition(":")[0].replace("timestamp", "timestamp and timestamp_format")
            example = self.notes.examples[f"{table}, {reason}"].removeprefix("The column ")
            raise DatasetError(
                f"{len(reasons):,} of {len(frame):,} rows of {file} are bad, most for '{reason}' in the column "
                f"{example}. Check {setting} in [{table}] of dataset.toml; docs/data.md lists what the values may be."
            )
        kept: pd.DataFrame = frame[~is_bad]
        return kept

    def skip_lines(self, table: str, lines: Iterable[int]) -> None:
        """Note lines of a file that are not rows."""
        found = pd.DataFrame({"line": list(lines), "reason": "too many fields"})
        if len(found):
            self.notes.set_aside[f"{table}, too many fields"] = len(found)
            self._write(f"{table}-lines", found)

    def note_values(self, table: str, values: pd.Series, reason: str) -> None:
        """Note bad values of a column; each is left empty, and its row stays."""
        if len(values):
            why = f"{VALUES}{table}, {values.name}: {reason}"
            self.notes.set_aside[why] = len(values)
            self.note_example(why, f"The column '{values.name}'", values)
            file = f"{table}-values-{values.name}".replace("/", "-")  # a column may be called price/EUR
            self._write(file, values.to_frame().assign(reason=reason))

    def note_example(self, name: str, column: str, cells: pd.Series) -> None:
        """Note two cells of a column for the sentence of the check `name`."""
        if len(cells):
            self.notes.examples[name] = f"{column}: {named(cells)}"

    def _write(self, name: str, rows: pd.DataFrame) -> None:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._folder / f"{name}.csv") as draft:  # `drain` may read the file
                rows.to_csv(draft, index_label="row")


def named(rows: pd.Series, most: int = 2) -> str:
    """The first rows of a column as a sentence names them: row 3 'a' and row 5 'b'."""
    return " and ".join(f"row {row} '{value}'" for row, value in rows.head(most).items())
