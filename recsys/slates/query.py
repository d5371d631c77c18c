"""A query: a user's request for a slate (ordered list of recommended items), to which each stage adds its results."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from recsys.experiments.assigned_arms import NO_ARMS, AssignedArms
from recsys.filters.compiled_conditions import Match, matches
from recsys.filters.conditions import Stated
from recsys.lists.user_list import UserList
from recsys.lists.user_record import UserRecord
from recsys.model.event_types import SeenRule
from recsys.model.feature_spec import UNKNOWN_CONTEXT
from recsys.model.history import NO_HISTORY, History, hidden_rows
from recsys.rules import CompiledRules, Rules
from recsys.rules.exploration import Exploration
from recsys.slates.freshness import Freshness
from recsys.slates.served_generation import ServedGeneration
from recsys.surfaces import DEFAULT
from recsys.types import F32, I32, I64, U8, U16, Bool, Event, Id, Mode

NO_RULES = CompiledRules(Rules())


class Ranked(NamedTuple):
    """Candidates as they were scored, before filters and selection; the columns are aligned."""

    items: I32
    tower: F32
    sources: U16
    scores: F32


class Degraded(StrEnum):
    """The stages that an answer may lack, in their order; and that the user's list answered because of an overload."""

    STORE = "store"
    RETRIEVAL = "retrieval"
    RANKING = "ranking"
    OVERLOAD = "overload"


def _empty(dtype: type) -> np.ndarray:
    """An empty array, read-only because all queries share it."""
    empty: np.ndarray = np.zeros(0, dtype)
    empty.flags.writeable = False
    return empty


_NO_ROWS, _NO_SCORES = _empty(np.int32), _empty(np.float32)
_NO_RECORD = UserRecord.empty()

NOTHING_RANKED = Ranked(_NO_ROWS, _NO_SCORES, _empty(np.uint16), _NO_SCORES)


@dataclass(slots=True, eq=False)
class Query:
    """One request for a slate, and the results of the stages. The generation stays the same from start to end."""

    generation: ServedGeneration
    user_id: Id | None  # None: a visitor without an id, who has only a session
    k: int
    due: float  # the deadline of the answer, monotonic seconds
    session: list[Event] = field(default_factory=list)
    exclude: list[Id] = field(default_factory=list)
    now: float = field(default_factory=time.time)  # unix seconds
    context: U8 = field(default_factory=lambda: UNKNOWN_CONTEXT)  # [CONTEXTS] rows, 0 for an unknown value
    mode: Mode = Mode.REALTIME  # as requested
    filter: Mapping[str, Stated] = field(default_factory=dict)
    context_values: Mapping[str, str] = field(default_factory=dict)  # the context as in the request, for rules
    rules: CompiledRules = NO_RULES
    extra: Mapping[int, int] = field(default_factory=dict)  # more candidates: rows, and the flags of their sources
    extra_made: float = 0.0  # unix seconds: when the trending items of `extra` were computed
    traced: bool = False  # whether `dropped` is kept
    is_traffic: bool = True  # False for a warm-up or a probe: no user waits for the slate, and no metric counts it
    surface: str = DEFAULT  # the place of the product that shows the slate
    list_fresh: float = 3_600.0  # seconds: age up to which mode auto serves a list as it is
    list_usable: float = 86_400.0  # seconds: age up to which mode auto ranks a list again
    given: I32 | None = None  # rows of the items to rank, which the request names; None: retrieval finds candidates
    own_seen_rule: SeenRule | None = None  # in place of the rule of the dataset or of the file of rules
    assigned: AssignedArms = NO_ARMS  # the arms of experiments; `generation` and `rules` are theirs already

    stages_passed: int = 0
    finished: bool = False  # the slate is made; no stage may change the query any more
    degraded: list[Degraded] = field(default_factory=list)

    record: UserRecord = _NO_RECORD
    events: list[Event] = field(default_factory=list)
    listed: UserList | None = None
    matches: tuple[Match, ...] = field(init=False)  # the filter, compiled for the generation
    excluded: I32 = field(init=False)  # rows of `exclude`
    past: History = NO_HISTORY  # all events, oldest first
    history: History = NO_HISTORY  # the events of `past` that were not revoked
    wire_history: bytes | None = None  # its record of wire.HISTORY, made once
    made_by: Mode = Mode.REALTIME  # the mode of the answer
    items: I32 = field(init=False)  # the candidates, in the end the slate; aligned with the next three
    tower: F32 = field(init=False)
    sources: U16 = field(init=False)
    scores: F32 = field(init=False)
    candidates: Ranked = NOTHING_RANKED
    removed: dict[str, int] = field(default_factory=dict)  # number of candidates by the reason of the filter
    dropped: dict[str, I32] = field(default_factory=dict)  # those candidates
    passed_over: dict[int, str] = field(default_factory=dict)  # the cap that kept a row out
    words: dict[int, tuple[str, ...]] = field(default_factory=dict)  # the rules that moved a row
    exploration: Exploration | None = None  # the draws of a slate that explores; its items are rows
    freshness: Freshness | None = None  # of the slate, once it is made

    def __post_init__(self) -> None:
        self.excluded = self.generation.item_rows(self.exclude) if self.exclude else _NO_ROWS
        self.matches = matches(self.filter, self.generation.spec) if self.filter else ()
        self.items, self.tower, self.sources, self.scores = NOTHING_RANKED

    @property
    def is_ranked(self) -> bool:
        """Whether the ranker has scored the candidates."""
        lacks = Degraded.RETRIEVAL in self.degraded or Degraded.RANKING in self.degraded
        return self.made_by != Mode.BATCH and not lacks

    @property
    def unknown_items(self) -> list[Id]:
        """Items of the session that have no row in the generation, each once."""
        return self.generation.unknown_items(event.item_id for event in self.session) if self.session else []

    @property
    def unknown_types(self) -> list[str]:
        """Event types of the session that the generation does not have, each once."""
        return self.generation.unknown_types(event.event_type for event in self.session) if self.session else []

    @property
    def seen_rule(self) -> SeenRule:
        """The rule for past items of the user that slates leave out."""
        if self.own_seen_rule is not None:
            return self.own_seen_rule
        return self.rules.rules.seen_rule(self.generation.manifest.seen_rule)

    @property
    def seen(self) -> I32:
        """Rows of the user's past items that the slate leaves out."""
        return hidden_rows(self.record, self.past, self.seen_rule, self.generation.spec, self.now)

    def keep(self, kept: I64 | np.ndarray) -> None:
        """Keep the candidates at these places (or where the mask is true), in that order."""
        self.items, self.tower = self.items[kept], self.tower[kept]
        self.sources, self.scores = self.sources[kept], self.scores[kept]

    def remove(self, gone: Bool, reason: str) -> None:
        """Remove the candidates where the mask is true, and count them by the reason."""
        count = int(np.count_nonzero(gone))
        if count:
            self.count_removed(count, reason)
            if self.traced:
                self.dropped[reason] = self.items[gone]
            self.keep(np.flatnonzero(~gone))

    def count_removed(self, count: int, reason: str) -> None:
        """Count candidates that the slate can't hold."""
        if count:
            self.removed[reason] = self.removed.get(reason, 0) + count

    def set_candidates(self, items: I32, tower: F32, sources: U16) -> None:
        """Replace the candidates. The tower's scores order them until the ranker has scored them."""
        self.items, self.tower, self.sources = items, tower, sources
        self.scores = tower

    def leave_out(self, stage: Degraded) -> None:
        """Mark the answer as made without a stage."""
        if stage not in self.degraded:
            self.degraded.append(stage)
