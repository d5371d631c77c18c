"""The feature spec: how an item's columns become content tokens, and an event's type and context become rows.

The spec is learned once from the training data, travels inside the generation, and is the only encoder: training
encodes the catalogue with it, serving encodes a new item with it.
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
from recsys.types import CONTEXTS, F64, I32, U8, Bool

CONTENT_TOKENS = 12
"""Content tokens kept for an item, at most; MovieTweetings' films have 7 at the most, MovieLens' 7."""

NO_TOKEN = 0
"""Padding of a content row; an unknown value encodes to nothing."""

FIRST_HASHED_TOKEN = 1 << 30
"""Above every vocabulary: the hashed tokens of values that training did not see start here."""

NOTHING_TOLD: U8 = np.zeros(CONTEXTS, np.uint8)
"""The context of a query that tells none, or of one that knows no better."""
NOTHING_TOLD.flags.writeable = False


@dataclass(frozen=True)
class FeatureSpec:
    """Vocabularies and bucket edges of one dataset.

    tokens: "column=value" strings; token 0 is padding. edges: for each numeric column, ascending bucket edges.
    event_types: names; an event's type is its row here. contexts: columns that
    say in what context an event happened, each with its values, the most frequent first; the first is row 1.
    columns: the item columns that are content, in the order in which they are encoded. events: what the event types
    mean. numbers: the numeric and boolean columns, whose values are kept in `ItemTables.numbers`, in its order.
    booleans: which of them are true or false.
    """

    tokens: tuple[str, ...]
    edges: dict[str, tuple[float, ...]]
    event_types: tuple[str, ...]
    contexts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    columns: tuple[str, ...] = ()
    events: EventRules = field(default_factory=EventRules)
    numbers: tuple[str, ...] = ()
    booleans: tuple[str, ...] = ()

    def token_rows(self) -> dict[str, int]:
        """From token to row."""
        return self._token_rows

    @cached_property
    def _token_rows(self) -> dict[str, int]:
        return {token: row for row, token in enumerate(self.tokens) if row != NO_TOKEN}

    def encode_items(self, items: Sequence[Mapping[str, object]]) -> I32:
        """Content tokens of items given as column → value (or list of values): [n, CONTENT_TOKENS] int32."""
        rows = self.token_rows()
        content = np.full((len(items), CONTENT_TOKENS), NO_TOKEN, np.int32)
        for index, item in enumerate(items):
            known = [rows[token] for token in self.item_tokens(item) if token in rows][:CONTENT_TOKENS]
            content[index, : len(known)] = known
        return content

    def hashed_items(self, items: Sequence[Mapping[str, object]]) -> I32:
        """Hashed tokens of the items' values that training did not see, for filters: [n, CONTENT_TOKENS] int32."""
        rows = self.token_rows()
        hashed = np.full((len(items), CONTENT_TOKENS), NO_TOKEN, np.int32)
        for index, item in enumerate(items):
            new = [hashed_token(token) for token in self.item_tokens(item) if token not in rows][:CONTENT_TOKENS]
            hashed[index, : len(new)] = new
        return hashed

    def item_tokens(self, item: Mapping[str, object]) -> list[str]:
        """The tokens of one item, known or not."""
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
        """The values of the columns `numbers` of items given as column → value: [n, columns] float64, NaN for none."""
        values = [[_number(item.get(column)) for column in self.numbers] for item in items]
        return np.array(values, np.float64).reshape(len(items), len(self.numbers))

    @property
    def content_columns(self) -> tuple[str, ...]:
        """The item columns that are content; read off the tokens where the generation is older than `columns`."""
        named = (token.partition("=")[0] for token in self.tokens if "=" in token)
        return self.columns or tuple(dict.fromkeys((*named, *self.edges)))

    def values(self, column: str) -> list[str]:
        """The values that items have in a categorical column."""
        start = f"{column}="
        return [token.removeprefix(start) for token in self.tokens if token.startswith(start)]

    def ordered(self, item: Mapping[str, object]) -> dict[str, object]:
        """An item's content columns in the order of training: that of tokens decides which of too many are kept."""
        return {column: item[column] for column in self.content_columns if column in item}

    def type_row(self, event_type: str) -> int | None:
        """The row of an event type; None for one that is not part of a history: ignored, or unknown to training."""
        if self.events.ignores(event_type):
            return None
        if self.event_types in ((), (UNDECLARED,)):
            return 0
        return self._type_rows.get(event_type)

    def is_unknown(self, event_type: str) -> bool:
        """Whether training never saw an event type; without declared types none is unknown."""
        return self.type_row(event_type) is None and not self.events.ignores(event_type)

    @cached_property
    def _type_rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.event_types)}

    @cached_property
    def negative_types(self) -> Bool | None:
        """Which event types are negative, by row: [T] bool; None where none is."""
        negative = np.array([name in self.events.negative for name in self.event_types], bool)
        return negative if negative.any() else None

    def encode_context(self, told: Mapping[str, str]) -> U8:
        """Rows of a context given as column → value: [CONTEXTS] uint8, 0 for a value that is unknown or not told."""
        if not told:
            return NOTHING_TOLD
        context = np.zeros(CONTEXTS, np.uint8)
        for place, (column, values) in enumerate(self.contexts):
            if told.get(column) in values:
                context[place] = 1 + values.index(told[column])
        return context

    def to_json(self) -> str:
        """As it stands in a generation."""
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
            tuple(raw.get("columns", ())),
            EventRules.from_json(raw["events"]),
            numbers=tuple(raw["numbers"]),
            booleans=tuple(raw["booleans"]),
        )


def hashed_token(token: str) -> int:
    """The number of a token outside the vocabulary: the same in every process.

    A given token shares its number with one of 10,000 others at a probability of 1 in 100,000.
    """
    return FIRST_HASHED_TOKEN | (crc32(token.encode()) & (FIRST_HASHED_TOKEN - 1))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, (bool, np.bool_)) else str(value)


def _number(value: object) -> float:
    """A number as it is, true as 1; NaN for anything else, an infinite number included."""
    number = float(value) if isinstance(value, (int, float)) else np.nan
    return number if np.isfinite(number) else np.nan
