"""The interface of a candidate source, one way to find items for a user: a name, a share and the class that finds them.

Examples are popular items, and items that other users took soon after the user's items.
"""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from recsys.types import CANDIDATES, F32, FLAG_BITS, I32

if TYPE_CHECKING:  # the index brings torch, which a gateway with remote stages does without
    from recsys.filters.allowed_items import Allowed
    from recsys.fresh_items.extended_index import ExtendedIndex
    from recsys.generation.item_tables import ItemTables
    from recsys.retrieval.index import Index

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True)
class RetrievalBatch:
    """A batch of B queries.

    users: [B, d] float32 user embeddings. past: [B, H] int32 item rows of the histories, newest last, padded with PAD.
    tables, index: of the generation and of the items added since through PUT /items. allowed: for each query the items
    that its filter leaves, or None without a filter; None if no query of the batch has a filter.
    """

    users: F32
    past: I32
    tables: ItemTables
    index: Index | ExtendedIndex
    allowed: Sequence[Allowed | None] | None


class Finder(ABC):
    """Finds the items of one source in one generation. What is computed once for a generation belongs in `__init__`."""

    put_share = 0
    """Candidates that the source brings beyond its share because of items added since the training, at most."""

    def __init__(self, tables: ItemTables) -> None:  # noqa: B027 - most sources compute nothing here
        """tables: of the generation, without the items added since."""

    @classmethod
    def serves(cls, tables: ItemTables, exclude_seen: bool) -> bool:
        """Whether the source has items in a generation. If not, the tower gets its share."""
        return True

    def over(self, tables: ItemTables, index: ExtendedIndex) -> Self:
        """The finder over the tables and the index grown by the items added since. Called after each PUT /items."""
        return self

    @abstractmethod
    def find(self, batch: RetrievalBatch, k: int) -> I32:
        """The k items of each query, best first: [B, any] int32, padded with PAD. Items may repeat.

        Only available items that the query's filter leaves: any other item would use up the share. If the dataset
        excludes seen items, retrieval drops the items of the history; k has room for these items.
        """


@dataclass(frozen=True, slots=True)
class CandidateSource:
    """A source of candidates; ValueError if a field is wrong.

    name: in answers, in `/explain`, in exported files, and in the ranker's feature `from_NAME`. flag: one bit. Lists
    and impressions store flags, so a bit never gets another meaning. share: candidates of a query that the source
    brings, at most; None for the one source that brings what the others leave. finder: finds the items. A source
    without a finder has the share 0: its items come with the query, and the ranker has no feature for the source.
    """

    name: str
    flag: int
    share: int | None
    finder: type[Finder] | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"Name the source by up to 32 of a-z, 0-9 and _, not {self.name!r}.")
        if self.flag.bit_count() != 1 or not 0 < self.flag < 1 << FLAG_BITS:
            raise ValueError(f"The flag of the source {self.name} must be one bit of {FLAG_BITS}, not {self.flag}.")
        if self.share is not None and not 0 <= self.share < CANDIDATES:
            raise ValueError(f"The share of the source {self.name} must be 0 to {CANDIDATES - 1}, not {self.share}.")
        if self.share != 0 and self.finder is None:
            raise ValueError(f"The source {self.name} has a share and no finder: give it a subclass of Finder.")
        if self.share == 0 and self.finder is not None:
            raise ValueError(f"The source {self.name} has a finder and the share 0: give it a share.")
        if self.finder is not None and (not issubclass(self.finder, Finder) or inspect.isabstract(self.finder)):
            raise ValueError(f"The finder of the source {self.name} must be a subclass of Finder with a method find.")
