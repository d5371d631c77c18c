"""Read a dataset's table of items: ids, titles, availability, and the columns that describe an item. Check that the
interactions log writes the same item ids in the same way.
"""

from __future__ import annotations

import pandas as pd

from recsys.errors import DatasetError
from recsys.model.feature_spec import LARGEST
from recsys.yes_no import yes_or_no
from training.read.cells import each, empty_ids, ids_of, missing, parts_of, read_numbers
from training.read.mapping import Mapping
from training.read.quarantine import Quarantine, named
from training.read.table_reader import read_table
from training.read.table_sections import Items

LEAST_MATCHED = 0.05
"""Share of events whose id is in the other table. Below it the other table has ids of another kind."""

MOST_LOST = 0.01
"""Share of events whose id is in the other table only without zeros, spaces and case. More are no accident."""

WORDS_SHOWN = 12
"""Unknown words of a column of stock that a sentence lists."""


def read_items(mapping: Mapping, quarantine: Quarantine) -> pd.DataFrame:
    """The valid rows, indexed by their number in the file.

    `quarantine` receives the bad rows, and examples for the sentences of checks that may refuse the table.
    """
    table = mapping.toml.items
    if table is None:
        return pd.DataFrame({"item_id": pd.Series(dtype="str")})
    items = read_table(mapping, "items", quarantine)
    ids = items["item_id"]
    bad = {"item_id: empty": empty_ids(ids), "item_id: seen before": ids.duplicated()}
    items = quarantine.sift("items", items, bad, mapping.file(table), table.columns)
    items = items.assign(item_id=ids_of(items["item_id"], table.typed))
    _note_examples(mapping, table, items, quarantine)
    if "categories" in items:
        items["categories"] = each(items["categories"], lambda cell: parts_of(cell, table.separator), lists=True)
    _require_no_booleans(mapping, table, items)
    for column in table.categorical:
        items[column] = each(items[column], lambda cell: None if missing(cell) else str(cell))
    for column in table.numeric:
        items[column] = read_numbers(items[column], table.decimal, "items", "numeric", quarantine)
    for column in table.boolean:
        items[column] = _yes_or_no(items[column], mapping, table)
    _require_two_values(mapping, items)
    if "available" in items:
        items["available"] = _available(items["available"], mapping, table)
    return items


def _note_examples(mapping: Mapping, table: Items, items: pd.DataFrame, quarantine: Quarantine) -> None:
    """Two cells of each column as the file has them, for the sentence of a check that may refuse the column."""
    for column in items.columns.drop("item_id"):
        name = column if column in table.described_by else getattr(table, column)
        words = items[column].drop_duplicates() if column == "available" else items[column]
        cells = words if len(words) > 1 else items[column]
        quarantine.note_example(f"column {column}", mapping.column(table, column, name), cells)


def _available(column: pd.Series, mapping: Mapping, table: Items) -> pd.Series:
    """Whether each item is in stock; an empty cell hides nothing. DatasetError for a word of unknown meaning."""
    words = {"": True} | table.available_values
    found = each(column, lambda cell: yes_or_no("" if missing(cell) else cell, words))
    unknown = column[found.isna()]
    where = mapping.column(table, "available")
    if len(unknown):
        raise DatasetError(f"{where} holds values that are neither yes nor no: {_unknown_words(unknown, mapping)}")
    if "" not in table.available_values and column.map(missing).all():
        raise DatasetError(
            f"{where} is empty in every row, {named(column)}: no item could be sold out. Take available out of "
            f"[items] of {mapping.path}, or name the column that holds it."
        )
    return found.astype("bool")


def _unknown_words(unknown: pd.Series, mapping: Mapping) -> str:
    """The rest of the sentence on words of stock without a meaning: two rows, and the line that gives a meaning."""
    words = unknown.drop_duplicates()
    such = f"{len(words):,} such value{'s' * (len(words) != 1)}"
    count = f", {such} in {len(unknown):,} rows" if len(unknown) > 1 else ""
    line = ", ".join(f'"{word}" = true or false' for word in words.head(WORDS_SHOWN))
    line += ", ..." if len(words) > WORDS_SHOWN else ""
    quantity = pd.to_numeric(words, errors="coerce").notna().all()
    return (
        f"{named(words if len(words) > 1 else unknown)}{count}. State what each means in [items] of {mapping.path}: "
        f"write available_values = {{ {line} }} and keep one truth for each word. false hides an item."
        + (" A number of pieces has to become yes or no in the file." if quantity else "")
    )


def _require_no_booleans(mapping: Mapping, table: Items, items: pd.DataFrame) -> None:
    """DatasetError if true and false of a Parquet file are to be names or numbers: no filter could use them."""
    for entry in ("categorical", "numeric") if table.typed else ():
        for column in getattr(table, entry):
            if pd.api.types.infer_dtype(items[column], skipna=True) == "boolean":
                raise DatasetError(
                    f"{mapping.column(table, entry, column)} holds true and false ({named(items[column])}), and "
                    f"{entry} in [items] of {mapping.path} names it. Move it to boolean."
                )


def _yes_or_no(column: pd.Series, mapping: Mapping, table: Items) -> pd.Series:
    """Whether each cell is a yes, None for an empty cell. DatasetError for a word of unknown meaning."""
    found = each(column, lambda cell: None if missing(cell) else yes_or_no(cell))
    if len(unknown := column[found.isna() & ~column.map(missing)]):
        raise DatasetError(
            f"{mapping.column(table, 'boolean', str(column.name))} holds values that are neither yes nor no: "
            f"{named(unknown)}. Write yes or no, or move the column from boolean to categorical in [items] of "
            f"{mapping.path}."
        )
    return found


def _require_two_values(mapping: Mapping, items: pd.DataFrame) -> None:
    """DatasetError for a column of [features] with one value or none: the ranker could learn nothing of it."""
    for column in mapping.toml.features.items:
        found = items[column].dropna().astype("float64").clip(-LARGEST, LARGEST).astype("float32").unique()
        if len(found) < 2:
            table = mapping.toml.items
            assert table is not None
            has = f"has the value {found[0]:g} alone" if len(found) else "has no value"
            raise DatasetError(
                f"{mapping.column(table, 'numeric', column)} {has}, and items in [features] of {mapping.path} names "
                "it: the ranker learns nothing of it. Take the column out of [features]."
            )


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
    alike = counts[_plain_ids(counts.index).isin(_plain_ids(pd.Index(known)))]
    found, could = 1 - counts.sum() / len(events), alike.sum() / len(events)
    if could > MOST_LOST:
        ours = str(alike.index[0])
        theirs = known[_plain_ids(pd.Index(known)) == _plain_ids(pd.Index([ours]))[0]].iloc[0]
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


def _plain_ids(ids: pd.Index) -> pd.Index:
    return ids.str.strip().str.casefold().str.lstrip("0")


def _row(ids: pd.Series, value: str) -> str:
    return f"row {ids.index[ids.astype('str') == value][0]} '{value}'"
