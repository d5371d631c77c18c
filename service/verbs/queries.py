"""Conversion of validated requests of a surface to queries, which the pipeline enriches: slates, and items to rank."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.experiments.assigned_arms import NO_ARMS, AssignedArms
from recsys.model.event_types import SeenRule
from recsys.rules import CompiledRules
from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration
from recsys.types import Id, Mode
from service import schema
from service.verbs.surfaces import ServedSurface
from service.verbs.users import to_event
from service.verbs.vocabulary import check_types, checked_context, checked_filter


class Situation(NamedTuple):
    """What queries of a request share. due: monotonic seconds. now: unix seconds. kind: the queries' class.

    forced: the arm of an experiment that a person chose, by experiment and arm. assigned: the arms of experiments.
    arm_rules: in place of the surface's.
    """

    generation: ServedGeneration
    surface: ServedSurface
    due: float
    now: float
    kind: type[Query]
    forced: tuple[str, str] | None = None
    assigned: AssignedArms = NO_ARMS
    arm_rules: CompiledRules | None = None

    @property
    def rules(self) -> CompiledRules:
        """The rules for the generation."""
        return self.surface.rules.of(self.generation) if self.arm_rules is None else self.arm_rules


def for_slate(
    request: schema.RecommendRequest | schema.ExplainRequest, user_id: Id | None, situation: Situation
) -> Query:
    """The query of a user's slate. `k` is the surface's and `mode` the arm's or the surface's, unless stated."""
    stated, surface = request.model_fields_set, situation.surface
    k = request.k if "k" in stated else surface.k
    mode = request.mode if "mode" in stated else Mode(situation.assigned.mode or surface.mode)
    return _query(request, user_id, situation, k, mode)


def to_rank(request: schema.RankRequest, situation: Situation) -> tuple[Query, list[Id]]:
    """The query that ranks the known items of a request; and the unknown items."""
    found = situation.generation.rows_of(request.items)
    rows = dict.fromkeys(row for row in found if row is not None)
    query = _query(request, request.user_id, situation, request.k or len(rows), Mode.HYBRID)
    query.given = np.array([*rows], np.int32)
    if not request.exclude_seen:
        query.own_seen_rule = SeenRule(excludes=False)
    elif not query.seen_rule.excludes:
        query.own_seen_rule = SeenRule()
    return query, [item for item, row in zip(request.items, found, strict=True) if row is None]


def for_similar(request: schema.SimilarRequest, situation: Situation) -> Query:
    """The query for the items similar to an item. `k` is that of the surface unless the request has its own."""
    generation, surface, due, now, kind, *_ = situation
    return kind(
        generation,
        request.user_id,
        request.k if "k" in request.model_fields_set else surface.k,
        due,
        exclude=list(request.exclude),
        now=now,
        mode=Mode.BATCH if surface.mode == Mode.BATCH else Mode.REALTIME,
        filter=checked_filter(request.filter, generation),
        rules=surface.rules.of(generation).filters,
        surface=surface.name,
    )


def _query(
    request: schema.RecommendRequest | schema.ExplainRequest | schema.RankRequest,
    user_id: Id | None,
    situation: Situation,
    k: int,
    mode: Mode,
) -> Query:
    generation, surface, due, now, kind, *_ = situation
    check_types("session", request.session, generation)
    session_user: Id = "" if user_id is None else user_id
    return kind(
        generation,
        user_id,
        k,
        due,
        session=[to_event(session_user, each, now) for each in request.session],
        exclude=list(request.exclude),
        now=now,
        context=generation.spec.encode_context(checked_context(request.context, generation)),
        mode=mode,
        filter=checked_filter(request.filter, generation),
        context_values=request.context,
        rules=situation.rules,
        assigned=situation.assigned,
        surface=surface.name,
        list_fresh=surface.list_fresh,
        list_usable=surface.list_usable,
    )
