"""The reasons of a slate: what tells each item from the other candidates; which candidates were left out, and why."""

from __future__ import annotations

import time

import numpy as np

from recsys.slates.query import Degraded, Query
from recsys.types import Mode
from service.explorer.explorer_models import LeftOutItem, SlateReason, SlateWithReasons
from service.recommend.stages import can_rank
from service.verbs import answer_models
from service.verbs.explain import Explanation, SlateExplainer, filter_sentence, rule_sentence

EXPLAINED_ITEMS, LEFT_OUT_ITEMS = 30, 50
"""Items whose reasons an answer has, and left out candidates that it names, at most."""

RANKING_SECONDS = 2.0
"""Time for the reasons after the slate is made. Only a person at the Explorer waits for them."""


async def with_reasons(query: Query, explainer: SlateExplainer) -> SlateWithReasons:
    """The slate of an answered query that is `traced`, with its reasons, which one call of ranking computes."""
    slate = answer_models.slate(query)
    reasons, unexplained = await _reasons(query, explainer)
    return SlateWithReasons(
        slate=slate,
        candidates=len(query.candidates.items),
        reasons=reasons,
        unexplained=unexplained,
        left_out=_left_out(query),
    )


async def _reasons(query: Query, explainer: SlateExplainer) -> tuple[list[list[SlateReason]], str | None]:
    """The reasons of each item of the slate; a sentence if there are none."""
    if query.made_by == Mode.BATCH:
        return [], "In mode batch the items have the order of the user's list; the ranker did not score them now."
    if not can_rank(query) or Degraded.RANKING in query.degraded:
        return [], "The ranker did not score this slate, because a stage was away or late."
    places = {row: place for place, row in enumerate(query.candidates.items.tolist())}
    shown = [places.get(row) for row in query.items[:EXPLAINED_ITEMS].tolist()]
    query.due, query.wire_history = time.monotonic() + RANKING_SECONDS, None  # the record has the old deadline
    scored = [place for place in shown if place is not None]
    found = await explainer.explanations(query, scored) if scored else []
    if scored and not found:
        return [], "Ranking did not return the reasons in time."
    by_place = dict(zip(scored, map(_slate_reasons, found), strict=True))
    return [[] if place is None else by_place[place] for place in shown], None


def _slate_reasons(explanation: Explanation) -> list[SlateReason]:
    return [SlateReason(words=each.words, contribution=round(each.contribution, 4)) for each in explanation.reasons]


def _left_out(query: Query) -> list[LeftOutItem]:
    """The candidates that filters or rules left out, the best scores first."""
    reasons = {row: reason for reason, rows in query.dropped.items() for row in rows.tolist()}
    reasons |= dict.fromkeys(query.passed_over, "rules")
    order = query.candidates.items[np.argsort(-query.candidates.scores, kind="stable")]
    held = query.generation.holds(order)  # a row that this process has not received has no id
    ranked = [(place, row) for place, row in enumerate(order.tolist(), 1) if row in reasons and held[place - 1]]
    return [
        LeftOutItem(
            item_id=query.generation.item_id(row),
            title=query.generation.title(row),
            place=place,
            reason=reasons[row],
            sentence=_sentence(reasons[row], query, row),
        )
        for place, row in ranked[:LEFT_OUT_ITEMS]
    ]


def _sentence(reason: str, query: Query, row: int) -> str:
    return rule_sentence(query, row) if reason == "rules" else filter_sentence(reason, query, row)
