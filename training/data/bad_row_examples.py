"""Two rows of a dataset's files for each thing that the gate may refuse, so that its sentence shows what is meant."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training.data.mapping import Mapping
from training.data.quarantine import GIVEN, named


def examples(
    mapping: Mapping, log: pd.DataFrame, items: pd.DataFrame, duplicates: pd.Series, ahead: pd.Series
) -> dict[str, str]:
    """The column and two rows for each thing; log, items: tables whose index is the row in the file.

    items: with the cells as the file has them.
    """
    given = log["timestamp" + GIVEN]
    when = mapping.place("interactions", "timestamp")
    shown = {
        "oldest": (when, given.iloc[:2]),
        "newest": (when, given.iloc[:-3:-1]),
        "ahead": (when, given[ahead]),
        "duplicates": (mapping.place("interactions", "item_id"), log["item_id"][duplicates]),
        "item_id": (mapping.place("interactions", "item_id"), log["item_id"].iloc[:-3:-1]),
        "user_id": (mapping.place("interactions", "user_id"), log["user_id"].iloc[:-3:-1]),
    }
    if mapping.items:
        lone = log["item_id"][_alone(log["item_id"], items["item_id"])]
        shown["undescribed"] = (mapping.place("interactions", "item_id"), lone)
    if "event_type" in mapping.interactions:
        codes = log["event_type"].cat.codes.to_numpy()
        for code, name in enumerate(log["event_type"].cat.categories):
            rows = log["event_type"].iloc[np.flatnonzero(codes == code)[:2]]
            shown[f"type {name}"] = (mapping.place("interactions", "event_type"), rows)
        shown["type"] = (mapping.place("interactions", "event_type"), log["event_type"].drop_duplicates())
    for column in items.columns.drop("item_id"):
        named_by = column if column in mapping.items else None
        place = mapping.place("items", column) if named_by else f"The column '{column}'"
        words = items[column].drop_duplicates() if column == "available" else items[column]
        shown[f"column {column}"] = (place, words if len(words) > 1 else items[column])
    return {name: f"{where}: {named(rows)}" for name, (where, rows) in shown.items() if len(rows)}


def _alone(events: pd.Series, known: pd.Series) -> pd.Series:
    """Which events name an item that the table does not."""
    codes, names = pd.factorize(events)
    alone: pd.Series = pd.Series(~pd.Index(names).astype("str").isin(known.astype("str"))[codes], events.index)
    return alone
