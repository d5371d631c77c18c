"""The arms of requests: for each user the arms of running experiments are chosen, and the query gets what they change.

A person may force an arm for a test, by the header `x-tandem-arm: experiment=arm`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from recsys.errors import QueryError
from recsys.experiments.assigned_arms import AssignedArms
from recsys.rules import CompiledRules, Rules, compile_rules, unknown_items
from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration
from recsys.types import Id
from service import schema
from service.experiments.arm_health import ArmHealth
from service.generations.switcher import GenerationSwitcher
from service.telemetry import metrics
from service.verbs.items import ItemVerbs
from service.verbs.queries import Situation

logger = logging.getLogger("tandem")

T = TypeVar("T")

HEADER = "x-tandem-arm"

COMPILED = 32
"""Pairs of rules and a generation for which an arm's rules are kept compiled."""


class ForcedArm(NamedTuple):
    """The arm that a person chose for a test."""

    experiment: str
    arm: str


def forced_arm(values: Sequence[str | bytes]) -> ForcedArm | None:
    """The arm that the values of the header name; None without the header, QueryError for another form."""
    if not values:
        return None
    name, equals, arm = values[0].strip(" \t").partition("=") if isinstance(values[0], str) else ("", "", "")
    if len(values) > 1 or not (name and equals and arm):
        raise QueryError("Send one experiment and one of its arms, as in checkout=new.", HEADER)
    return ForcedArm(name, arm)


class RequestArms:
    """Chooses the arms of requests."""

    def __init__(self, switcher: GenerationSwitcher, items: ItemVerbs, health: ArmHealth) -> None:
        self._switcher = switcher
        self._items = items
        self._health = health
        self._compiled: dict[tuple[str, str], tuple[Rules, CompiledRules]] = {}

    def query(
        self,
        request: schema.RecommendRequest | schema.ExplainRequest | schema.RankRequest,
        user_id: Id | None,
        situation: Situation,
        build: Callable[[Situation], T],
    ) -> T:
        """What `build` makes in the situation of the user's arms; QueryError for a request that the control refuses.

        A request that only the generation of an arm refuses, such as for a column that it lacks, gets the control.
        """
        assigned = self._assign(request, user_id, situation)
        pinned = self._pinned(situation, assigned)
        try:
            return build(pinned)
        except QueryError:
            if pinned.generation is situation.generation:
                raise
            return build(self._pinned(situation, assigned.without_generation()))

    def _assign(
        self,
        request: schema.RecommendRequest | schema.ExplainRequest | schema.RankRequest,
        user_id: Id | None,
        situation: Situation,
    ) -> AssignedArms:
        running = self._switcher.follower.experiments.current
        if request.arms:
            running.check_named(request.arms)
        if situation.forced:
            return running.force(*situation.forced, HEADER)
        return running.assign(user_id, situation.surface.name, request.context, situation.now, request.arms)

    def _pinned(self, situation: Situation, assigned: AssignedArms) -> Situation:
        """The situation with what the arms change; with the control where a generation can't be served now."""
        if not assigned.served:
            return situation._replace(assigned=assigned)
        if assigned.generation:
            served = self._switcher.of_arm(assigned.generation)
            if served is None:
                return self._pinned(situation, assigned.without_generation())
            situation = situation._replace(generation=served.with_items(self._items.current))
        rules = None if assigned.rules is None else self._rules(assigned.rules, assigned, situation.generation)
        return situation._replace(assigned=assigned, arm_rules=rules)

    def _rules(self, rules: Rules, assigned: AssignedArms, generation: ServedGeneration) -> CompiledRules:
        """An arm's rules, compiled for a generation."""
        key = generation.id, assigned.list_variant
        held = self._compiled.get(key)
        if held is not None and held[0] is rules:
            return held[1]
        made = compile_rules(rules, generation.spec)
        self._compiled[key] = rules, made
        while len(self._compiled) > COMPILED:
            self._compiled.pop(next(iter(self._compiled)))
        for sentence in (*made.inactive, *unknown_items(rules, generation.rows_of)):
            logger.warning("A rule of an experiment's arm has no effect. %s", sentence)
        return made

    def note(self, query: Query, seconds: float | None) -> None:
        """Note a slate that was made. seconds: to count it for each experiment that its user takes part in."""
        self._health.note(query, failed=False)
        if seconds is None or query.assigned.forced:
            return
        outcome = "empty" if not len(query.items) else "degraded" if query.degraded else "ok"
        for name, arm in query.assigned.arms.items():
            if name in query.assigned.away:
                metrics.arm_slates(name, arm, "fell_back")(1)
            else:
                metrics.arm_slates(name, arm, outcome)(1)
                metrics.arm_timed(name, arm)(seconds)

    def note_error(self, queries: Sequence[Query]) -> None:
        """Note slates that could not be made."""
        for query in queries:
            self._health.note(query, failed=True)
            for name, arm in query.assigned.exposures.items():
                metrics.arm_slates(name, arm, "error")(1)

    async def follow(self) -> None:
        """Halt arms that fail, without an end."""
        await self._health.follow()
