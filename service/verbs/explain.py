"""The endpoint /explain: why an item has its place in a slate (list of recommended items), or why it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np

from recsys.filters.compiled_conditions import meets
from recsys.filters.conditions import in_words, values_in_words
from recsys.model.features import names
from recsys.retrieval.registry import names_of
from recsys.slates.query import Degraded, Query
from recsys.slates.slate_filters import FILTERS
from recsys.types import I32
from service import schema
from service.backends import wire
from service.backends.calls import Backends
from service.explorer.reasons import Reason, reasons
from service.recommend.pipeline import Pipeline
from service.recommend.records import history_table, rank_table
from service.recommend.stages import can_rank
from service.recommend.unbatched_call import call_backend
from service.verbs import answer_models

COMPARED = 64
"""Candidates, evenly by place, whose mean an explanation is compared with. All 512 take 30 ms of CPU in place of 4."""


class Explanation(NamedTuple):
    """What tells a candidate from the others: features, the largest relative contribution first, and reasons."""

    features: list[schema.Feature]
    reasons: list[Reason]


NOT_RANKED = Explanation([], [])


class SlateExplainer:
    """Explains one item of one slate."""

    def __init__(self, pipeline: Pipeline, backends: Backends) -> None:
        self._pipeline = pipeline
        self._backends = backends

    async def explain(self, query: Query, row: int) -> schema.ExplainResponse:
        """Make the slate of a query that is `traced`, and explain the item at `row`."""
        await self._pipeline.run([query])
        candidates = query.candidates
        at, place = _position(candidates.items, row), _position(query.items, row)
        rankable = can_rank(query)  # before the next call, which may degrade the query
        tower_score, tower_place = await self._tower(query, row)
        found = await self.explanations(query, [at]) if at is not None and rankable else []
        explained = found[0] if found else NOT_RANKED
        if place is None:
            dropped_by, reason = _dropped(query, row, tower_place)
        else:
            dropped_by, reason = None, _placed(query, place)
        flags = 0 if at is None else int(candidates.sources[at])
        flags |= 0 if place is None else int(query.sources[place])
        return schema.ExplainResponse(
            user_id=query.user_id,
            item_id=query.generation.item_id(row),
            title=query.generation.title(row),
            generation=query.generation.id,
            mode=query.made_by.value,
            place=None if place is None else place + 1,
            dropped_by=dropped_by,
            reason=reason,
            sources=list(names_of(flags)),
            tower_score=tower_score,
            tower_place=tower_place,
            score=None if at is None else round(float(candidates.scores[at]), answer_models.PLACES),
            ranked_place=_ranked_place(query, row),
            features=explained.features,
            reasons=[each.words for each in explained.reasons],
            rules=list(query.words.get(row, ())),
            history=len(query.history[0]),
            degraded=list(query.degraded),
            unknown_items=query.unknown_items,
            unknown_types=query.unknown_types,
            surface=query.surface,
            arms=dict(query.assigned.arms),
            arms_away=list(query.assigned.away),
        )

    async def _tower(self, query: Query, row: int) -> tuple[float | None, int | None]:
        """The tower's score of an item, and the item's place by this score among all items that may be shown."""
        stage, request = Degraded.RETRIEVAL, history_table(wire.PLACE, [query])
        request["item"] = row
        found = await call_backend(self._pipeline, stage, query, self._backends.place, request, wire.PLACED)
        if found is None:
            return None, None
        # Retrieval may not have received an item that was put a moment ago: then the score is NaN and the place -1.
        tower, place = float(found["tower"][0]), int(found["place"][0])
        return answer_models.known(round(tower, answer_models.PLACES)), place + 1 or None

    async def explanations(self, query: Query, places: Sequence[int]) -> list[Explanation]:
        """The explanations of the candidates at some places, 36 at most; none if ranking fails."""
        count, stage = len(query.candidates.items), Degraded.RANKING
        among = [*places, *range(0, count, ceil(count / COMPARED))]
        request = rank_table(wire.FEATURES_OF, [query], [query.candidates])
        request["places"][0, : len(among)] = among
        found = await call_backend(self._pipeline, stage, query, self._backends.explain, request, wire.EXPLAINED)
        if found is None:
            return []
        of_generation, others = names(query.generation.spec), slice(len(places), None)
        values, contributions = (found[name][0, : len(among)] for name in ("features", "contributions"))
        means = dict(zip(of_generation, values[others].mean(axis=0).tolist(), strict=False))
        relative = contributions - contributions[others].mean(axis=0)
        explanations = []
        for place, *columns in zip(places, values, contributions, relative, strict=False):
            features = _features(of_generation, *(column.tolist() for column in columns))
            row = int(query.candidates.items[place])
            explanations.append(Explanation(features, reasons(query, row, features, means)))
        return explanations


def _features(names: Sequence[str], *columns: Sequence[float]) -> list[schema.Feature]:
    """The features of one candidate, what tells it most from the others first. columns: as wide as any generation's."""
    features = [
        schema.Feature(name=name, value=value, contribution=contribution, relative=relative)
        for name, value, contribution, relative in zip(names, *columns, strict=False)
    ]
    return sorted(features, key=lambda feature: -abs(feature.relative))


def _position(items: I32, row: int) -> int | None:
    at = np.flatnonzero(items == row)
    return int(at[0]) if len(at) else None


def _placed(query: Query, place: int) -> str:
    rules = query.words.get(int(query.items[place]))
    moved = f" Rules moved it: {', '.join(rules)}." if rules else ""
    return f"It is at place {place + 1} of {len(query.items)}.{moved}"


def _dropped(query: Query, row: int, tower_place: int | None) -> tuple[str, str]:
    """The step that dropped an item from the slate, and a sentence."""
    rows = np.array([row], np.int32)
    for each in FILTERS:
        gone = each.gone(query, rows)
        if gone is not None and gone[0]:
            return each.reason, filter_sentence(each.reason, query, row)
    if row not in query.candidates.items:
        where = f" The tower puts it at place {tower_place:,} of all items." if tower_place else ""
        return "retrieval", f"No source proposed the item for this user in mode {query.made_by}.{where}"
    if row in query.passed_over:
        return "rules", rule_sentence(query, row)
    return "ranking", f"It is at place {_ranked_place(query, row)} by score, and the slate ends at place {query.k}."


def rule_sentence(query: Query, row: int) -> str:
    """Which rule keeps a candidate out."""
    return f"A rule kept the item out: {query.passed_over[row]}."


def filter_sentence(reason: str, query: Query, row: int) -> str:
    """Why a filter keeps an item out."""
    if reason == "seen":
        where = "the dataset" if query.rules.rules.exclude_seen == "dataset" else "the file of rules"
        hidden = query.seen_rule.in_words(query.generation.spec.events)
        return f"The user has had the item, and exclude_seen in {where} leaves out {hidden}."
    if reason == "filter":
        return _unmet_condition(query, row)
    return "The item is not available." if reason == "unavailable" else "The request excludes the item."


def _unmet_condition(query: Query, row: int) -> str:
    """The first condition of the request's filter that an item does not meet, and the item's value."""
    rows, generation = np.array([row], np.int32), query.generation
    content, numbers = generation.filter_tokens(rows), generation.all_tables.numbers[rows]
    for (column, condition), wanted in zip(query.filter.items(), query.matches, strict=True):
        if not meets([wanted], content, numbers)[0]:
            value = generation.content_of(row).get(column, [])
            words = values_in_words(value if isinstance(value, list) else [value])
            has = f"the item's {column} is {words}" if words else f"the item has no {column}"
            return f"The request's filter requires {in_words(column, condition)}, and {has}."
    raise AssertionError("The filter keeps the item.")


def _ranked_place(query: Query, row: int) -> int | None:
    """The item's place by score among the candidates that passed the filters, from 1 on."""
    candidates = query.candidates
    passed = ~np.isin(candidates.items, np.concatenate([np.zeros(0, np.int32), *query.dropped.values()]))
    order = candidates.items[passed][np.argsort(-candidates.scores[passed], kind="stable")]
    at = _position(order, row)
    return None if at is None else at + 1
