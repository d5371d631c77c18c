"""The feature spec: vocabularies that turn item columns, event types and contexts into integers for the models.

The integers of an item are its content tokens. Training builds the spec from the data and stores it with the models;
training and serving encode by it alone.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from zlib import crc32

import numpy as np

from recsys.model.event_types import UNDECLARED, EventRules
from recsys.types import CONTEXTS, F32, F64, I32, U8, Bool

OWN_COLUMNS = 8
"""Columns of items that are features of the ranker, at most."""

LARGEST = 1e30
"""Larger values of such a column count as this one, so that sums of them are finite in float32."""

CONTENT_TOKENS = 12
"""Content tokens of an item, at most. Films of MovieLens and MovieTweetings have 7 at most."""

NO_TOKEN = 0
"""The padding of a content row. Unknown values have no token."""

FIRST_HASHED_TOKEN = 1 << 30
"""The least hashed token of values outside the vocabulary, above all vocabularies."""

UNKNOWN_CONTEXT: U8 = np.zeros(CONTEXTS, np.uint8)
"""The context columns of a query without context."""
UNKNOWN_CONTEXT.flags.writeable = False


@dataclass(frozen=True)
class FeatureSpec:
    """Vocabularies and bucket edges of one dataset.

    tokens: "column=value" strings; token 0 is padding. edges: ascending bucket edges of each numeric column.
    event_types: names, by row. contexts: the context columns, each with its values, the most frequent first, from row 1
    on. columns: the content columns of items in the order of encoding. events: the meaning of the event types. numbers:
    the numeric and boolean columns in the order of `ItemTables.numbers`. booleans: the boolean columns. own: the
    columns of `numbers` that are features of the ranker, each with its mean.
    """

    tokens: tuple[str, ...]
    edges: dict[str, tuple[float, ...]]
    event_types: tuple[str, ...]
    contexts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    columns: tuple[str, ...] = ()
    events: EventRules = field(default_factory=EventRules)
    numbers: tuple[str, ...] = ()
    booleans: tuple[str, ...] = ()
    own: tuple[tuple[str, float], ...] = ()

    @cached_property
    def token_rows(self) -> dict[str, int]:
        """The row of each token."""
        return {token: row for row, token in enumerate(self.tokens) if row != NO_TOKEN}

    def encode_items(self, items: Sequence[Mapping[str, object]]) -> tuple[I32, I32]:
        """Content tokens of items given as column → value (or list of values), and hashed tokens for filters.

        Both [n, CONTENT_TOKENS] int32. Hashed tokens are of values outside the vocabulary.
        """
        rows = self.token_rows
        content, hashed = np.full((2, len(items), CONTENT_TOKENS), NO_TOKEN, np.int32)
        for index, item in enumerate(items):
            tokens = self.item_tokens(item)
            known = [rows[token] for token in tokens if token in rows][:CONTENT_TOKENS]
            new = [hashed_token(token) for token in tokens if token not in rows][:CONTENT_TOKENS]
            content[index, : len(known)], hashed[index, : len(new)] = known, new
        return content, hashed

    def item_tokens(self, item: Mapping[str, object]) -> list[str]:
        """All tokens of an item, in the vocabulary or not."""
        tokens = []
        for column, value in item.items():
            edges = self.edges.get(column)
            if edges is None:
                values = value if isinstance(value, (list, tuple)) else [value]
                tokens += [f"{column}={_text(v)}" for v in values if v is not None and v != ""]
            elif isinstance(value, (int, float)) and value == value:
                tokens.append(f"{column}#{bisect_left(edges, value)}")
        return tokens

    def encode_numbers(self, items: Sequence[Mapping[str, object]]) -> F64:
        """The numbers of items given as column → value: [n, columns] float64, NaN without a value."""
        values = [[_number(item.get(column)) for column in self.numbers] for item in items]
        return np.array(values, np.float64).reshape(len(items), len(self.numbers))

    def own_values(self, numbers: F64) -> F32:
        """The columns `own` of numbers [n, columns]: [n, own] float32, the column's mean without a value."""
        chosen = numbers[:, [self.numbers.index(column) for column, _ in self.own]]
        filled = np.where(np.isnan(chosen), [mean for _, mean in self.own], chosen)
        return np.ascontiguousarray(filled.clip(-LARGEST, LARGEST), np.float32)

    def values(self, column: str) -> list[str]:
        """The values of a categorical column."""
        start = f"{column}="
        return [token.removeprefix(start) for token in self.tokens if token.startswith(start)]

    def ordered(self, item: Mapping[str, object]) -> dict[str, object]:
        """The content columns of an item in the order of training, which decides the tokens that are kept."""
        return {column: item[column] for column in self.columns if column in item}

    def type_row(self, event_type: str) -> int | None:
        """The row of an event type; None for an ignored type and for one that is not in the training data."""
        if self.events.ignores(event_type):
            return None
        if self.event_types in ((), (UNDECLARED,)):
            return 0
        return self._type_rows.get(event_type)

    def counts(self, event_type: str) -> bool:
        """Whether events of a type count in the ranker's features: types of the training data that are not negative."""
        return self.type_row(event_type) is not None and event_type not in self.events.negative

    def is_unknown(self, event_type: str) -> bool:
        """Whether an event type is not in the training data. Without declared types no type is unknown."""
        return self.type_row(event_type) is None and not self.events.ignores(event_type)

    @cached_property
    def _type_rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.event_types)}

    @cached_property
    def negative_types(self) -> Bool | None:
        """Which event types are negative, by row: [T] bool; None without a negative type."""
        negative = np.array([name in self.events.negative for name in self.event_types], bool)
        return negative if negative.any() else None

    def encode_context(self, values: Mapping[str, str]) -> U8:
        """Rows of a context given as column → value: [CONTEXTS] uint8, 0 for a value that is unknown or missing."""
        if not values:
            return UNKNOWN_CONTEXT
        context = np.zeros(CONTEXTS, np.uint8)
        for place, (column, known) in enumerate(self.contexts):
            if values.get(column) in known:
                context[place] = 1 + known.index(values[column])
        return context

    def to_json(self) -> str:
        """The text of the part in a generation."""
        return json.dumps(asdict(self) | {"events": self.events.to_json()}, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> FeatureSpec:
        """Inverse of `to_json`."""
        raw = json.loads(text)
        return cls(
            tuple(raw["tokens"]),
            {column: tuple(edges) for column, edges in raw["edges"].items()},
            tuple(raw["event_types"]),
            tuple((column, tuple(values)) for column, values in raw["contexts"]),
            tuple(raw["columns"]),
            EventRules.from_json(raw["events"]),
            numbers=tuple(raw["numbers"]),
            booleans=tuple(raw["booleans"]),
            own=tuple((column, mean) for column, mean in raw["own"]),
        )


def hashed_token(token: str) -> int:
    """The hashed token of a token outside the vocabulary, the same in every process.

    A token collides with one of 10,000 others with a probability of 1 in 100,000.
    """
    return FIRST_HASHED_TOKEN | (crc32(token.encode()) & (FIRST_HASHED_TOKEN - 1))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, (bool, np.bool_)) else str(value)


def _number(value: object) -> float:
    """A finite number, or true as 1; NaN for anything else."""
    number = float(value) if isinstance(value, (int, float)) else np.nan
    return number if np.isfinite(number) else np.nan
