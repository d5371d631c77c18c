"""A query: one request for a slate, enriched on its way through the pipeline."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from recsys.conditions import Stated
from recsys.events import SeenRule
from recsys.history import NO_HISTORY, History, hidden_rows
from recsys.matching import Match, matches
from recsys.record import UserRecord
from recsys.rules import CompiledRules, Rules
from recsys.spec import NOTHING_TOLD
from recsys.types import F32, I32, I64, U8, U16, Bool, Event, Id
from recsys.user_list import UserList
from service.generations.served import ServedGeneration
from service.schema import Mode

NO_RULES = CompiledRules(Rules())


class Ranked(NamedTuple):
    """Candidates as they were scored, before filters and selection."""

    items: I32
    tower: F32
    sources: U16
    scores: F32


class Degraded(StrEnum):
    """What an answer had to do without; the order is that of the stages."""

    STORE = "store"
    RETRIEVAL = "retrieval"
    RANKING = "ranking"


def _nothing(kind: type) -> np.ndarray:
    """An empty array that all queries share, and that nobody may write to."""
    none: np.ndarray = np.zeros(0, kind)
    none.flags.writeable = False
    return none


_NO_ROWS, _NO_SCORES = _nothing(np.int32), _nothing(np.float32)
_NO_RECORD = UserRecord.empty()

NOTHING_RANKED = Ranked(_NO_ROWS, _NO_SCORES, _nothing(np.uint16), _NO_SCORES)


@dataclass(slots=True, eq=False)
class Query:
    """One request and what the stages found for it.

    user_id: None for a visitor without an id, of whom only the session is known.
    due: when the answer must be there, by the monotonic clock. now: the moment asked about, unix seconds. context:
    [CONTEXTS] uint8 rows, 0 for what is unknown. mode: how the slate is to be made; made_by: how it was. extra: item
    rows that are candidates whoever else names them, and the sources that named them. traced: whether `dropped` is
    kept. matches: what the filter means for the generation. excluded: rows of `exclude`. past: item rows, times and
    event types, oldest first; history: the events of it that still stand; told: as it goes over hops, once that was
    asked. items, tower, scores, sources: the candidates, aligned, and in the end the slate; candidates: as they were
    ranked. removed: how many each filter took, by its reason; dropped: which. words: the rules that moved a row;
    passed_over: the cap that kept one out.
    """

    generation: ServedGeneration
    user_id: Id | None
    k: int
    due: float
    session: list[Event] = field(default_factory=list)
    exclude: list[Id] = field(default_factory=list)
    now: float = field(default_factory=time.time)
    context: U8 = field(default_factory=lambda: NOTHING_TOLD)
    mode: Mode = Mode.REALTIME
    filter: Mapping[str, Stated] = field(default_factory=dict)
    told_context: Mapping[str, str] = field(default_factory=dict)
    rules: CompiledRules = NO_RULES
    extra: Mapping[int, int] = field(default_factory=dict)
    traced: bool = False

    record: UserRecord = _NO_RECORD
    events: list[Event] = field(default_factory=list)
    listed: UserList | None = None
    matches: tuple[Match, ...] = field(init=False)
    excluded: I32 = field(init=False)
    past: History = NO_HISTORY
    history: History = NO_HISTORY
    told: bytes | None = None
    made_by: Mode = Mode.REALTIME
    items: I32 = field(init=False)
    tower: F32 = field(init=False)
    sources: U16 = field(init=False)
    scores: F32 = field(init=False)
    candidates: Ranked = NOTHING_RANKED
    removed: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, I32] = field(default_factory=dict)
    passed_over: dict[int, str] = field(default_factory=dict)
    words: dict[int, tuple[str, ...]] = field(default_factory=dict)
    degraded: list[Degraded] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.excluded = self.generation.item_rows(self.exclude) if self.exclude else _NO_ROWS
        self.matches = matches(self.filter, self.generation.spec) if self.filter else ()
        self.items, self.tower, self.sources, self.scores = NOTHING_RANKED

    @property
    def unknown_items(self) -> list[Id]:
        """Items of the session that have no row in the generation, each once."""
        if not self.session:
            return []
        items = [event.item_id for event in self.session]
        rows = self.generation.rows_of(items)
        return list(dict.fromkeys(item for item, row in zip(items, rows, strict=True) if row is None))

    @property
    def unknown_types(self) -> list[str]:
        """Event types of the session that the generation does not know, each once."""
        if not self.session:
            return []
        spec = self.generation.spec
        return list(dict.fromkeys(event.event_type for event in self.session if spec.is_unknown(event.event_type)))

    @property
    def seen_rule(self) -> SeenRule:
        """Which of the user's past items are left out of slates."""
        return self.rules.rules.seen_rule(self.generation.manifest.seen_rule)

    @property
    def seen(self) -> I32:
        """Rows of the user's past items that are left out of slates."""
        return hidden_rows(self.record, self.past, self.seen_rule, self.generation.spec, self.now)

    def keep(self, kept: I64 | np.ndarray) -> None:
        """Keep the candidates at these places (or where the mask is true), in that order."""
        self.items, self.tower = self.items[kept], self.tower[kept]
        self.sources, self.scores = self.sources[kept], self.scores[kept]

    def remove(self, gone: Bool, reason: str) -> None:
        """Take the candidates where the mask is true out, and count them under a reason."""
        count = int(np.count_nonzero(gone))
        if count:
            self.removed[reason] = self.removed.get(reason, 0) + count
            if self.traced:
                self.dropped[reason] = self.items[gone]
            self.keep(np.flatnonzero(~gone))

    def set_candidates(self, items: I32, tower: F32, sources: U16) -> None:
        """Start over with these candidates; until a scorer has spoken the tower's score orders them."""
        self.items, self.tower, self.sources = items, tower, sources
        self.scores = tower

    def leave_out(self, stage: Degraded) -> None:
        """Say that a stage had to be done without."""
        if stage not in self.degraded:
            self.degraded.append(stage)
