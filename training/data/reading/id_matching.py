"""Check that the interactions log and the items table of a dataset write the same item ids in the same way.

Ids that lost their leading zeros match no item of the table, although each row by itself is valid.
"""

from __future__ import annotations

import pandas as pd

from recsys.errors import DatasetError

LEAST_MATCHED = 0.05
"""Share of events whose id is in the other table. Below it the other table has ids of another kind."""

MOST_LOST = 0.01
"""Share of events whose id is in the other table only without zeros, spaces and case. More are no accident."""


def unmatched_events(events: pd.Series, table: pd.Series) -> pd.Series:
    """Which events have an id that is not in the table."""
    codes, ids = pd.factorize(events)
    return pd.Series(~pd.Index(ids).astype("str").isin(table.astype("str"))[codes], events.index, dtype=bool)


def check_ids(events: pd.Series, table: pd.Series, log: str, other: str) -> None:
    """DatasetError if few events have an id of the table, or if more would with ids that are written alike.

    events: the id of each event. table: the ids of the table. log, other: column and file of each, at the start of a
    sentence.
    """
    if table.empty or events.empty:
        return
    other = other[0].lower() + other[1:]
    counts = events[unmatched_events(events, table)].astype("str").value_counts()
    known = pd.Series(table.astype("str").to_numpy())
    alike = counts[_plain(counts.index).isin(_plain(pd.Index(known)))]
    found, could = 1 - counts.sum() / len(events), alike.sum() / len(events)
    if could > MOST_LOST:
        ours = str(alike.index[0])
        theirs = known[_plain(pd.Index(known)) == _plain(pd.Index([ours]))[0]].iloc[0]
        raise DatasetError(
            f"{log} and {other} write the same ids in two ways: {_row(events, ours)} and {_row(table, theirs)}. "
            f"{found:.1%} of the events have an id of the table, and {could:.1%} more without leading zeros, spaces "
            "and case. Export both columns as text, as the shop has them."
        )
    if found < LEAST_MATCHED:
        raise DatasetError(
            f"{log} holds ids of another table: {found:.1%} of the events have an id of the table. It has "
            f"{_row(events, str(counts.index[0]))}, {other} has {_row(table, str(known.iloc[0]))}. Check that both "
            "columns hold the same ids, or leave the table out of dataset.toml."
        )


def _plain(ids: pd.Index) -> pd.Index:
    return ids.str.strip().str.casefold().str.lstrip("0")


def _row(ids: pd.Series, value: str) -> str:
    return f"row {ids.index[ids.astype('str') == value][0]} '{value}'"
