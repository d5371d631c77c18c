"""A query: one request for a slate, enriched on its way through the pipeline."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from recsys import soundness
from recsys.generation import GenerationFolder, Manifest
from recsys.items import Latest, PutItem, PutItems
from recsys.record import UserRecord
from recsys.segment import FreshSegment
from recsys.sources import most_popular
from recsys.spec import FeatureSpec
from recsys.tables import ItemTables
from recsys.types import CANDIDATES, CONTEXTS, F32, F64, I32, I64, U8, Bool, Event, Id

History = tuple[I32, F64, U8]

NO_HISTORY: History = (np.zeros(0, np.int32), np.zeros(0, np.float64), np.zeros(0, np.uint8))


class Degraded(StrEnum):
    """What an answer had to do without; the order is that of the stages."""

    STORE = "store"
    RETRIEVAL = "retrieval"
    RANKING = "ranking"


@dataclass(frozen=True)
class ServedGeneration:
    """What the gateway needs of a generation: item columns, the spec and the popular items. No model.

    fresh: what was put since, where anything was.
    """

    manifest: Manifest
    tables: ItemTables
    spec: FeatureSpec
    fresh: FreshSegment | None = None

    @classmethod
    def load(cls, folder: GenerationFolder) -> ServedGeneration:
        """Load from a sound folder; GenerationError where it can't be read."""
        with soundness.readable(folder.manifest.id):
            generation = cls(folder.manifest, folder.tables(), folder.spec())
            generation.popular, generation.tables.ids.rows, generation.event_types  # noqa: B018 - now, not by a request
        return generation

    @property
    def id(self) -> str:
        """The generation's id."""
        return self.manifest.id

    @cached_property
    def popular(self) -> I32:
        """The available item rows that are recently most popular, best first: as many as a query has candidates."""
        return most_popular(self.tables, CANDIDATES)

    @cached_property
    def event_types(self) -> dict[str, int]:
        """Rows of the event types."""
        return self.spec.event_type_rows()

    def with_items(self, puts: PutItems) -> ServedGeneration:
        """The generation and what was put since; itself where nothing was."""
        return self._joined.of(puts) if len(puts) else self

    @cached_property
    def _joined(self) -> Latest[ServedGeneration]:
        def join(puts: PutItems) -> ServedGeneration:
            joined = copy.copy(self)  # with what was computed once already
            ids, available = self.tables.ids.rows, self.tables.available
            segment = FreshSegment.of(puts, lambda texts: [*map(ids.get, texts)], available, self.manifest.data_end)
            object.__setattr__(joined, "fresh", segment)
            return joined

        return Latest(join)

    def row_of(self, item: Id) -> int | None:
        """The row of an item; None for one that is not known."""
        row = self.tables.ids.rows.get(str(item))
        return self.fresh.by_id.get(str(item)) if row is None and self.fresh else row

    def has_learned(self, item: PutItem) -> bool:
        """Whether the generation knows an item put, and by data that goes on after its last put."""
        return item.put_at <= self.manifest.data_end and item.text in self.tables.ids.rows

    def item_rows(self, items: list[Id]) -> I32:
        """Rows of the items that are known, in their order."""
        return np.array([row for item in items if (row := self.row_of(item)) is not None], np.int32)

    def title(self, row: int) -> str:
        """The title, empty where there is none."""
        if self.fresh is None:
            return self.tables.titles[row]
        if row >= len(self.tables):
            return self.fresh.by_row[row].title or ""
        return self.fresh.titles.get(row) or self.tables.titles[row]

    def shows(self, rows: I32) -> Bool:
        """Which rows are items that may be shown; retrieval may know of one that this process has not heard of."""
        if self.fresh is not None:
            return self.fresh.shows(rows)
        shown = rows < len(self.tables)
        shown[shown] = self.tables.available[rows[shown]]
        return shown

    def item_id(self, row: int) -> Id:
        """The id as it came."""
        if self.fresh is not None and row >= len(self.tables):
            return self.fresh.by_row[row].item_id
        text = self.tables.ids[row]
        return int(text) if self.manifest.settings["item_id_type"] == "int" else text


@dataclass(slots=True)
class Query:
    """One request and what the stages found for it.

    due: when the answer must be there, by the monotonic clock. now: the moment asked about, unix seconds. history: item
    rows, times and event types, oldest first. context: [CONTEXTS] uint8 rows, 0 for what is unknown. items, tower,
    scores, sources: the candidates, aligned. removed: how many each filter took, by its reason.
    """

    generation: ServedGeneration
    user_id: Id
    k: int
    due: float
    session: list[Event] = field(default_factory=list)
    exclude: list[Id] = field(default_factory=list)
    now: float = field(default_factory=time.time)
    context: U8 = field(default_factory=lambda: np.zeros(CONTEXTS, np.uint8))

    record: UserRecord = field(default_factory=UserRecord.empty)
    events: list[Event] = field(default_factory=list)
    history: History = field(default_factory=lambda: NO_HISTORY)
    items: I32 = field(default_factory=lambda: np.zeros(0, np.int32))
    tower: F32 = field(default_factory=lambda: np.zeros(0, np.float32))
    sources: U8 = field(default_factory=lambda: np.zeros(0, np.uint8))
    scores: F32 = field(default_factory=lambda: np.zeros(0, np.float32))
    removed: dict[str, int] = field(default_factory=dict)
    degraded: list[Degraded] = field(default_factory=list)

    def keep(self, kept: I64 | np.ndarray) -> None:
        """Keep the candidates at these places (or where the mask is true), in that order."""
        self.items, self.tower = self.items[kept], self.tower[kept]
        self.sources, self.scores = self.sources[kept], self.scores[kept]

    def set_candidates(self, items: I32, tower: F32, sources: U8) -> None:
        """Start over with these candidates; until a scorer has spoken the tower's score orders them."""
        self.items, self.tower, self.sources = items, tower, sources
        self.scores = tower

    def append(self, more: Query) -> None:
        """Put the candidates of another query of the same user behind these."""
        for name in ("items", "tower", "sources", "scores"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(more, name)]))

    def again(self) -> Query:
        """The same request and user, no candidates yet."""
        return replace(
            self,
            items=np.zeros(0, np.int32),
            tower=np.zeros(0, np.float32),
            sources=np.zeros(0, np.uint8),
            scores=np.zeros(0, np.float32),
            removed={},
            degraded=[],
        )
