"""Why an item stands where it does in a slate, or why it does not: one query, traced, and asked about one item."""

from __future__ import annotations

import asyncio
import math
import time

import numpy as np

from recsys.conditions import in_words, values_in_words
from recsys.errors import StageError
from recsys.features import FEATURES
from recsys.matching import meets
from recsys.retrieval.registry import names_of
from service import schema
from service.backends import wire
from service.backends.backends import Backends
from service.recommend.fallbacks import listed
from service.recommend.filters import FILTERS
from service.recommend.pipeline import RESERVE, Pipeline
from service.recommend.query import Degraded, Query
from service.recommend.stages import answered, can_rank, history_table, rank_table
from service.telemetry.throttled_logger import ThrottledLogger
from service.verbs import answers

INCOMPLETE = ThrottledLogger("An explanation is made without %s: %s")

_WORDS = {
    "unavailable": "The item is hidden: it is not available.",
    "excluded": "The request excludes the item.",
}

_LIST = "The list that was made for the user"
_POPULAR = "There is no list for the user; popularity"


class SlateExplainer:
    """Explains one item of one slate."""

    def __init__(self, pipeline: Pipeline, backends: Backends) -> None:
        self._pipeline = pipeline
        self._backends = backends

    async def explain(self, query: Query, row: int) -> schema.ExplainResponse:
        """Make the slate of a traced query, and say why the item at `row` stands where it does."""
        await self._pipeline.run([query])
        candidates = query.candidates
        at = np.flatnonzero(candidates.items == row)
        rankable = can_rank(query)  # before `_tower`, which may say itself that retrieval is away
        ranked = rankable and Degraded.RANKING not in query.degraded  # as above, of `_features`
        tower, place = await self._tower(query, row)
        features = await self._features(query, int(at[0])) if len(at) and rankable else []
        stood = np.flatnonzero(query.items == row)
        if len(stood):
            dropped_by, reason = None, _stands(query, int(stood[0]))
        else:
            dropped_by, reason = self._dropped(query, row, place, _whose(query, rankable, ranked))
        flags = int(candidates.sources[at[0]]) if len(at) else 0
        if len(stood):
            flags |= int(query.sources[stood[0]])
        return schema.ExplainResponse(
            user_id=query.user_id,
            item_id=query.generation.item_id(row),
            title=query.generation.title(row),
            generation=query.generation.id,
            mode=query.made_by.value,
            place=int(stood[0]) + 1 if len(stood) else None,
            dropped_by=dropped_by,
            reason=reason,
            sources=list(names_of(flags)),
            tower_score=None if tower is None else answers.known(round(tower, answers.PLACES)),
            tower_place=place,
            score=round(float(candidates.scores[at[0]]), 4) if len(at) else None,
            ranked_place=_ranked_place(query, row),
            features=features,
            rules=list(query.words.get(row, ())),
            history=len(query.history[0]),
            degraded=list(query.degraded),
            unknown_items=query.unknown_items,
            unknown_types=query.unknown_types,
        )

    async def _tower(self, query: Query, row: int) -> tuple[float | None, int | None]:
        """The tower's score, and its place by it among all items that may be shown, from 1 on."""
        asked = history_table(wire.PLACE, [query])
        asked["item"] = row
        try:
            async with asyncio.timeout(query.due - RESERVE - time.monotonic()):
                (found,) = await answered(self._backends.place, asked, wire.PLACED)
            if found["failed"] or math.isnan(found["tower"]):
                raise StageError("retrieval failed")
        except Exception as error:
            self._left_out(query, Degraded.RETRIEVAL, error)
            return None, None
        return float(found["tower"]), int(found["place"]) + 1

    async def _features(self, query: Query, at: int) -> list[schema.Feature]:
        """The features of a candidate, what contributes most first."""
        candidates = query.candidates
        asked = rank_table(wire.EXPLAIN, [query], [candidates])
        asked["place"] = at
        try:
            async with asyncio.timeout(query.due - RESERVE - time.monotonic()):
                (found,) = await answered(self._backends.explain, asked, wire.EXPLAINED)
            if found["failed"]:
                raise StageError("ranking failed")
        except Exception as error:
            self._left_out(query, Degraded.RANKING, error)
            return []
        told = zip(FEATURES, found["features"].tolist(), found["contributions"].tolist(), strict=True)
        features = [schema.Feature(name=name, value=value, contribution=part) for name, value, part in told]
        return sorted(features, key=lambda feature: -abs(feature.contribution))

    def _left_out(self, query: Query, stage: Degraded, error: Exception) -> None:
        outage = self._pipeline.outages[stage]
        outage.without()
        if not outage.away:
            INCOMPLETE.warn(stage, str(error) or type(error).__name__)
        query.leave_out(stage)

    def _dropped(self, query: Query, row: int, place: int | None, whose: str) -> tuple[str, str]:
        """What kept an item out of the slate, and a sentence."""
        rows = np.array([row], np.int32)
        for each in FILTERS:
            gone = each.gone(query, rows)
            if gone is not None and gone[0]:
                return each.reason, _sentence(each.reason, query, row)
        if row not in query.candidates.items:
            if whose == _POPULAR:
                return "retrieval", "There is no list for the user, and the item is not among what is popular."
            if whose == _LIST or query.made_by == schema.Mode.HYBRID:
                return "retrieval", "The list that was made for the user does not hold the item."
            where = f" The tower puts it at place {place:,} of all items." if place else ""
            return "retrieval", f"No source proposed the item.{where}"
        if row in query.passed_over:
            return "rules", f"A rule kept the item out: {query.passed_over[row]}."
        return "ranking", f"{whose} puts it at place {_ranked_place(query, row)}, and {query.k} were asked for."


def _sentence(reason: str, query: Query, row: int) -> str:
    """Why a filter keeps an item out."""
    if reason == "seen":
        return _seen(query)
    return _filtered(query, row) if reason == "filter" else _WORDS[reason]


def _seen(query: Query) -> str:
    """The rule that hides an item of the user's past."""
    where = "the dataset" if query.rules.rules.exclude_seen == "dataset" else "the file of rules"
    hidden = query.seen_rule.in_words(query.generation.spec.events)
    return f"The user has had the item, and exclude_seen in {where} leaves out {hidden}."


def _filtered(query: Query, row: int) -> str:
    """The first condition of the request's filter that an item does not meet, and the item's value."""
    rows, generation = np.array([row], np.int32), query.generation
    content, numbers = generation.filter_tokens(rows), generation.numbers(rows)
    for (column, condition), wanted in zip(query.filter.items(), query.matches, strict=True):
        if not meets([wanted], content, numbers)[0]:
            value = generation.content_of(row).get(column, [])
            told = values_in_words(value if isinstance(value, list) else [value])
            has = f"the item's {column} is {told}" if told else f"the item has no {column}"
            return f"The request's filter wants {in_words(column, condition)}, and {has}."
    raise AssertionError("The filter keeps the item.")


def _whose(query: Query, retrieved: bool, ranked: bool) -> str:
    """Whose order the candidates stand in."""
    if retrieved:
        return "The ranker" if ranked else "Retrieval"
    return _LIST if len(listed(query)[0]) else _POPULAR


def _stands(query: Query, at: int) -> str:
    words = query.words.get(int(query.items[at]))
    moved = f" Rules had a say: {', '.join(words)}." if words else ""
    return f"It is at place {at + 1} of {len(query.items)}.{moved}"


def _ranked_place(query: Query, row: int) -> int | None:
    """By score among the candidates that passed the filters, from 1 on."""
    candidates = query.candidates
    passed = ~np.isin(candidates.items, np.concatenate([np.zeros(0, np.int32), *query.dropped.values()]))
    order = candidates.items[passed][np.argsort(-candidates.scores[passed], kind="stable")]
    at = np.flatnonzero(order == row)
    return int(at[0]) + 1 if len(at) else None
