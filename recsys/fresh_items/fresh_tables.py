"""The tables of one generation grown by fresh items: the same features, the same sources, a few rows more.

A fresh item's row holds what training gives an item that nobody has taken yet: its content, the item tower's
embedding of that content, no popularity, no age and no neighbours. tests/unit/retrieval/test_fresh.py compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import torch

from recsys.filters.allowed_items import Allowed
from recsys.fresh_items.grown_column import Grown
from recsys.fresh_items.put_items import PutItem, PutItems
from recsys.fresh_items.segment import FreshSegment, Kept, encoded
from recsys.generation.item_tables import POPULARITY_WINDOWS, ItemTables
from recsys.generation.manifest import TOWERS, GenerationFolder
from recsys.model.feature_spec import FeatureSpec
from recsys.model.item_encoder import ItemEncoder
from recsys.retrieval.index import Index
from recsys.retrieval.int8_embeddings import ROUNDING
from recsys.types import F32, F64, I32, PAD, Bool


@dataclass(frozen=True)
class GrownTables(ItemTables):
    """The tables of a generation with the rows of a segment behind them.

    hashed: the hashed tokens of the segment, [m, C].
    """

    segment: FreshSegment
    hashed: I32

    @cached_property
    def put_tokens(self) -> I32:
        """Content tokens and hashed tokens of the segment: [m, 2 C]."""
        return np.concatenate([cast(Grown, self.content).tail, self.hashed], axis=1)

    def knows(self, rows: I32) -> Bool:
        """Whether each row is an item of the generation, a fresh one that was heard of, or PAD."""
        return self.segment.available.knows(rows)

    @classmethod
    def of(
        cls, tables: ItemTables, segment: FreshSegment, content: I32, hashed: I32, numbers: F64, embeddings: F32
    ) -> GrownTables:
        """Grow `tables` by the segment's items: content and hashed [m, C], numbers [m, columns], embeddings [m, d]."""
        m = len(segment.rows)

        def grown(base: np.ndarray, tail: np.ndarray) -> np.ndarray:
            # Indexed by rows a Grown gives what an array gives, and nothing else is done with a table here.
            return cast(np.ndarray, Grown(base, segment.rows, tail))

        return cls(
            ids=tables.ids,
            titles=tables.titles,
            embeddings=grown(tables.embeddings, embeddings),
            rounded=tables.rounded,  # of the main index, beside which the segment is searched as it is
            content=grown(tables.content, content),
            available=cast(np.ndarray, segment.available),
            popularity=grown(tables.popularity, np.zeros((m, len(POPULARITY_WINDOWS)), np.float32)),
            by_popularity=tables.by_popularity,
            age=grown(tables.age, np.zeros(m, np.float32)),
            numbers=grown(tables.numbers, numbers),
            covisit=tables.covisit,
            follow=tables.follow,
            ease=tables.ease,
            context_lift=tables.context_lift,
            segment=segment,
            hashed=hashed,
        )


class Grower:
    """Grows the tables of one generation by what was put since.

    What it looked up and encoded for the last segment is kept for the next; two threads may grow at once.
    """

    def __init__(self, tables: ItemTables, spec: FeatureSpec, encoder: ItemEncoder, until: float) -> None:
        self._tables = tables
        self._spec = spec
        self._encoder = encoder
        self._until = until
        self._found: dict[str, int | None] = {}
        self._encoded = Kept(self._encode)

    @classmethod
    def load(cls, folder: GenerationFolder, tables: ItemTables) -> Grower:
        """That of a generation that `folder.verify` accepted."""
        return cls(tables, folder.spec(), ItemEncoder.load(folder.path / TOWERS), folder.manifest.data_end)

    def grow(self, puts: PutItems) -> GrownTables:
        """The tables with every put item that the generation does not know; only what changed is encoded anew."""
        segment = FreshSegment.of(puts, self._find, self._tables.available, self._until)
        return GrownTables.of(self._tables, segment, *self._encoded.of(segment.items))

    def _find(self, texts: Sequence[str]) -> list[int | None]:
        """The generation's rows of ids, those not asked for the last time looked up together."""
        held = self._found
        new = [text for text in texts if text not in held]
        found = held | dict(zip(new, self._tables.ids.find(new), strict=True))
        self._found = {text: found[text] for text in texts}
        return [found[text] for text in texts]

    def _encode(self, items: Sequence[PutItem]) -> tuple[I32, I32, F64, F32]:
        """Content, hashed tokens, numbers and embeddings of items."""
        content, hashed, numbers = encoded(items, self._spec)
        return content, hashed, numbers, self._encoder.encode(content)


class GrownIndex:
    """The main index and the segment, which is searched exactly, merged by score."""

    def __init__(self, index: Index, tables: GrownTables) -> None:
        segment = tables.segment
        shown = segment.available.tail
        self._index = index
        self._hidden = segment.hidden
        self._shown = segment.shown
        self._rows = segment.rows[shown]
        self._of_put = shown
        self._items = torch.from_numpy(cast(Grown, tables.embeddings).tail[shown])

    @property
    def count(self) -> int:
        """Fresh items that may be shown."""
        return len(self._rows)

    @torch.inference_mode()
    def search(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> I32:
        """The k best rows of both for users [B, d], best first: [B, k] int32, PAD past the end.

        allowed: as of `Index.scored`.
        """
        rows, scores = self._index.scored(users, k, self._hidden, self._shown, allowed)
        if not len(self._rows):
            return rows
        fresh, of_fresh = self._scored(users, allowed)
        both = np.concatenate([rows, fresh], axis=1)
        merged = torch.cat([torch.from_numpy(scores), of_fresh], dim=1)
        best = torch.topk(merged, min(k, merged.shape[1]), dim=1).indices.numpy()
        return np.take_along_axis(both, best, axis=1)

    @torch.inference_mode()
    def count_above(self, users: F32, scores: F32) -> I32:
        """How many rows of both score higher than `scores` [B] for users [B, d]: [B] int32."""
        fresh = torch.from_numpy(users) @ self._items.T > torch.from_numpy(scores)[:, None] + ROUNDING
        return self._index.count_above(users, scores, self._hidden, self._shown) + fresh.sum(1).numpy().astype(np.int32)

    @torch.inference_mode()
    def fresh(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> I32:
        """The k best fresh rows for users [B, d], best first: [B, at most k] int32, padded."""
        rows, scores = self._scored(users, allowed)
        best = torch.topk(scores, min(k, len(self._rows)), dim=1).indices.numpy()
        return np.take_along_axis(rows, best, axis=1)

    def _scored(self, users: F32, allowed: Sequence[Allowed | None] | None) -> tuple[I32, torch.Tensor]:
        """The fresh rows and their scores for users [B, d]: both [B, m], PAD and -inf for what is not allowed."""
        scores = torch.from_numpy(users) @ self._items.T
        rows = np.broadcast_to(self._rows, scores.shape)
        if allowed is not None:
            rows = rows.copy()
            for query, of in enumerate(allowed):
                if of is not None:
                    gone = ~of.put[self._of_put]
                    rows[query, gone], scores[query, torch.from_numpy(gone)] = PAD, -torch.inf
        return rows, scores
