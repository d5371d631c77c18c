"""The catalogue of a dataset, all its items as arrays for training, one row for each item, and the columns of its log
as small integers.

The arrays are ids, titles, content (an item's categories and other columns as integer tokens), numbers and
availability.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.generation.packed_strings import StringTable
from recsys.model.event_types import weights_of
from recsys.model.feature_spec import CONTENT_TOKENS, NO_TOKEN, FeatureSpec
from recsys.types import F32, F64, I32, U8, Bool
from training.read.dataset import Dataset
from training.read.table_sections import CONTEXT

NUMERIC_BUCKETS = 16

ContextColumns = tuple[tuple[str, tuple[str, ...]], ...]
"""(column, its values) of each context column, as the spec has them."""


@dataclass(frozen=True)
class Catalogue:
    """All items, a row each: those of the items table in its order, then those that only the log names.

    content: [n, CONTENT_TOKENS] int32, the categories and other columns of each item as integer tokens.
    numbers: [n, columns] float64, the columns `FeatureSpec.numbers`, NaN for a missing value.
    """

    ids: npt.NDArray[np.object_]
    titles: StringTable
    content: I32
    numbers: F64
    available: Bool
    spec: FeatureSpec

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(
        cls, dataset: Dataset, ids: npt.NDArray[np.object_], event_types: tuple[str, ...], contexts: ContextColumns
    ) -> Catalogue:
        """The catalogue of these ids, of which the items table describes the first."""
        table, only_logged = dataset.items, len(ids) - len(dataset.items)
        edges = {column: _edges(table[column]) for column in dataset.numeric_columns}
        tokens, content = encode_columns(table[list(dataset.content_columns)], FeatureSpec(("",), edges, event_types))
        titles = list(table["title"].fillna("").astype("str")) if "title" in table else [""] * len(table)
        available = np.ones(len(ids), bool)
        if "available" in table:
            available[: len(table)] = table["available"]
        names = dataset.numeric_columns + dataset.boolean_columns
        numbers = _numbers(table, names, len(ids))
        spec = FeatureSpec(
            ("", *tokens),
            edges,
            event_types,
            contexts,
            dataset.content_columns,
            dataset.events,
            numbers=names,
            booleans=dataset.boolean_columns,
            own=tuple((name, float(np.nanmean(numbers[:, names.index(name)]))) for name in dataset.feature_columns),
        )
        return cls(
            ids=ids,
            titles=StringTable.pack(titles + [""] * only_logged),
            content=np.pad(content, ((0, only_logged), (0, 0)), constant_values=NO_TOKEN),
            numbers=numbers,
            available=available,
            spec=spec,
        )


def _edges(values: pd.Series) -> tuple[float, ...]:
    """The bounds between buckets of a numeric column that hold about as many items each."""
    quantiles = values.dropna().quantile(np.linspace(0, 1, NUMERIC_BUCKETS + 1)[1:-1])
    return tuple(float(edge) for edge in np.unique(quantiles))


def _numbers(table: pd.DataFrame, columns: tuple[str, ...], items: int) -> F64:
    """The numbers of the items [items, columns], true as 1; NaN for a missing or infinite value."""
    numbers = table[list(columns)].astype("float64").to_numpy()
    padded = np.pad(numbers, ((0, items - len(table)), (0, 0)), constant_values=np.nan)
    return np.asfortranarray(np.where(np.isfinite(padded), padded, np.nan))


def encode_columns(table: pd.DataFrame, blank: FeatureSpec) -> tuple[list[str], I32]:
    """The tokens of a table in the order of their first appearance, and its content: [n, CONTENT_TOKENS] int32.

    The same as `blank.encode_items` with these tokens, but each distinct value of a column is encoded once.
    """
    columns = []
    for column in table:
        codes, values = pd.factorize(table[column])
        tokens = [blank.item_tokens({str(column): value}) for value in values.tolist()]
        tokens.append([])  # of code -1, a missing value
        columns.append([tokens[code] for code in codes])
    rows: dict[str, int] = {}
    content = np.full((len(table), CONTENT_TOKENS), NO_TOKEN, np.int32)
    for row, parts in enumerate(zip(*columns, strict=True)):
        kept = [rows.setdefault(token, len(rows) + 1) for token in islice(chain(*parts), CONTENT_TOKENS)]
        content[row, : len(kept)] = kept
    return list(rows), content


LEAST_FACTOR, MOST_FACTOR = 0.1, 10.0
"""Bounds of an event's value over the mean value of its type, so that one large order does not dominate."""


def mean_of_one(weights: F32 | F64) -> F32:
    """Weights whose mean is 1 over those above 0."""
    positive = weights[weights > 0]
    return (weights / max(float(positive.mean()) if len(positive) else 1.0, 1e-9)).astype(np.float32)


def event_weights(frame: pd.DataFrame, types: U8, event_types: tuple[str, ...], dataset: Dataset) -> F32:
    """The weight of each event's type, times the event's value over the mean value of the type; 1 on average.

    The factor is 1 for an event without a value.
    """
    weights = weights_of(event_types, dataset.events)[types]
    for name in dataset.weighed_by_value:
        if name in event_types:
            mine = types == event_types.index(name)
            values = pd.to_numeric(frame["value"], errors="coerce").to_numpy(np.float64)[mine]
            mean = np.nanmean(values[values > 0]) if (values > 0).any() else 1.0
            weights[mine] *= np.nan_to_num(values / mean, nan=1.0).clip(LEAST_FACTOR, MOST_FACTOR)
    return mean_of_one(weights)


def rows_by_frequency(column: pd.Series, first: int = 0) -> tuple[U8, tuple[str, ...]]:
    """Each value as an integer, and the 255 most frequent values in the order of their integers, from `first` on.

    Any other value, or a missing one, is 0.
    """
    codes, names = pd.factorize(column)
    order = np.argsort(-np.bincount(codes[codes >= 0], minlength=len(names)), kind="stable")[:255]
    rows = np.zeros(len(names) + 1, np.uint8)  # the last: missing
    rows[order] = np.arange(first, first + len(order))
    return rows[codes], tuple(str(name) for name in np.asarray(names, object)[order])


def context_rows(dataset: Dataset) -> tuple[U8, ContextColumns]:
    """The context of each event as integers, [E, C], and the context columns with their values."""
    found = {c: rows_by_frequency(dataset.interactions[f"{CONTEXT}{c}"], 1) for c in dataset.context_columns}
    contexts = np.zeros((len(dataset.interactions), len(found)), np.uint8)
    for place, (rows, _) in enumerate(found.values()):
        contexts[:, place] = rows
    return contexts, tuple((column, values) for column, (_, values) in found.items())


def ids_of_one_type(known: pd.Series, acted: pd.Series) -> tuple[pd.Index, pd.Index]:
    """Both tables' item ids, as integers if both are integers, as strings otherwise: 7 and "7" are one item."""
    if len(known) and pd.api.types.is_integer_dtype(known) != pd.api.types.is_integer_dtype(acted):
        known, acted = known.astype("str"), acted.astype("str")
    return pd.Index(known.astype("object")), pd.Index(acted.astype("object"))


def id_type(ids: np.ndarray) -> str:
    """The type of a dataset's ids: str or int."""
    return "str" if len(ids) and isinstance(ids[0], str) else "int"
