"""Whether two tables name the same things: ids that lost their zeros find nothing, and no row of them is bad."""

from __future__ import annotations

import pandas as pd

from recsys.errors import DatasetError

HARDLY = 0.05
"""Share of events that find their row in the other table, below which its ids are of another kind."""

LOST = 0.01
"""Share of events that find their row only after zeros, spaces and case are ignored: more are no accident."""


def check_ids(events: pd.Series, table: pd.Series, log: str, other: str) -> None:
    """DatasetError where hardly any event finds its row in a table, or more would if the ids were written alike.

    events: the id of each event. table: the ids of the table. log, other: column and file of each, as a sentence
    names them.
    """
    if table.empty or events.empty:
        return
    other = other[0].lower() + other[1:]
    counts = events.value_counts()
    counts.index = counts.index.astype("str")
    known = pd.Series(table.astype("str").to_numpy())
    lone = counts[~counts.index.isin(known)]
    alike = lone[_plain(lone.index).isin(_plain(pd.Index(known)))]
    found, could = 1 - lone.sum() / len(events), alike.sum() / len(events)
    if could > LOST:
        ours = str(alike.index[0])
        theirs = known[_plain(pd.Index(known)) == _plain(pd.Index([ours]))[0]].iloc[0]
        raise DatasetError(
            f"{log} and {other} write the same ids in two ways: {_row(events, ours)} and {_row(table, theirs)}. "
            f"{found:.1%} of the events find their row as the ids stand, {could:.1%} more without leading zeros, "
            "spaces and case. Export both columns as text, as the shop has them."
        )
    if found < HARDLY:
        ours, theirs = str(lone.index[0]), str(known.iloc[0])
        raise DatasetError(
            f"{log} names rows of another table: {found:.1%} of the events find theirs. It has {_row(events, ours)}, "
            f"{other} has {_row(table, theirs)}. Check that both columns hold the same ids, or leave the table out of "
            "the mapping."
        )


def _plain(ids: pd.Index) -> pd.Index:
    return ids.str.strip().str.casefold().str.lstrip("0")


def _row(ids: pd.Series, value: str) -> str:
    return f"row {ids.index[ids.astype('str') == value][0]} '{value}'"
