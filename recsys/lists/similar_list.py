"""An item's precomputed list of similar items, as POST /similar returns them, stored for the mode batch.

It belongs to one generation (one trained set of models and tables), and names items by their row numbers there.
"""

from __future__ import annotations

from dataclasses import dataclass

from recsys.lists.record_format import RecordFormat
from recsys.types import F32, I32, U16

SIMILAR_LENGTH = 50
"""Items of a list. A slate of an item page has 10 to 20, and filters leave some out."""

_FORMAT = RecordFormat("list of similar items", b"sim1", ["f8", "i4", "f4", "f4", "u2"])


@dataclass(frozen=True, slots=True, eq=False)
class SimilarList:
    """made_at: unix seconds. items: [n] rows of the generation, the most similar first. sources: [n] flags of sources.

    scores: [n], which order the items. likeness: [n] inner products of the two embeddings.
    """

    made_at: float
    items: I32
    sources: U16
    scores: F32
    likeness: F32

    def pack(self) -> bytes:
        """The bytes that the store holds."""
        return _FORMAT.pack(self.made_at, self.items, self.scores, self.likeness, self.sources)

    @classmethod
    def unpack(cls, blob: bytes | None) -> SimilarList | None:
        """Inverse of `pack`; None for None. ValueError if the bytes are damaged or of another version."""
        if blob is None:
            return None
        made_at, items, scores, likeness, sources = _FORMAT.unpack(blob)
        return cls(float(made_at[0]), items, sources, scores, likeness)
