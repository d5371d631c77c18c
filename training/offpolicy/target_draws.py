"""The draws that a target policy would make at the places of a logged slate, given the logged places before.

The log has no reward of an item that it can't show at a place. So the judged policy makes the log's own draw where the
target would show such an item. The target's probability of these items is reported: it is how much the two differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.experiments.definition import Explore
from recsys.rules.exploration import BEYOND, Exploration, draw_probabilities
from recsys.types import F32, F64, I64


@dataclass(frozen=True, slots=True, eq=False)
class TargetDraws:
    """The draws of one slate of K places, among the P candidates of the log.

    chances: [K, P] the probability of each candidate at a place, given the places before. outside: [K] the target's
    probability of all items that the log can't show there, which `chances` gives to the log's own draw.
    """

    chances: F64
    outside: F64


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The target's n candidates for a logged slate. at: [n] their places among the logged candidates, -1 without one.

    scores: [n] of the target's ranker. interactions: [n] in the target's data.
    """

    at: I64
    scores: F32
    interactions: F32


def redrawn(draws: Exploration, explore: Explore) -> TargetDraws:
    """The draws by the logged values, at another temperature or share."""
    places = range(len(draws.admitted))
    chances = [draws.probabilities(place, explore.temperature, explore.uncertain) for place in places]
    return TargetDraws(np.array(chances), np.zeros(len(chances)))


def as_logged(draws: Exploration, found: Scored, explore: Explore | None) -> TargetDraws:
    """The draws by the target's scores, with the rules of the log: its admitted items, boosts, and places without draw.

    A candidate outside the log counts as admitted and not boosted. explore: None for the logged policy.
    """
    policy, inside = explore or draws.policy, found.at >= 0
    deviation = float(np.std(found.scores, dtype=np.float64)) or 1.0
    values = found.scores.astype(np.float64)
    boosts = (draws.values[0].astype(np.float64) - draws.scores) / draws.deviation
    values[inside] += boosts[found.at[inside]] * deviation
    uncertain = found.interactions < policy.fewer_than
    order = np.argsort(-values, kind="stable")
    rare = uncertain[order]
    pool = order[(np.arange(len(order)) < len(draws.admitted) + BEYOND) | (rare & (rare.cumsum() <= BEYOND))]
    result = TargetDraws(np.zeros(draws.admitted.shape), np.zeros(len(draws.admitted)))
    for place, admitted in enumerate(draws.admitted):
        if not admitted.any():
            continue
        open_pool = pool[~inside[pool] | admitted[found.at[pool]]]
        chances = np.zeros(0)
        if len(open_pool):
            scale = policy.temperature * deviation
            chances = draw_probabilities(
                values[open_pool].astype(np.float32), uncertain[open_pool], scale, policy.uncertain
            )
        set_place(result, draws, place, found.at[open_pool], chances)
    return result


def set_place(target: TargetDraws, draws: Exploration, place: int, at: Sequence[int] | I64, chances: F64) -> None:
    """Set the draws of a place from the target's probabilities [n] of its items, at places `at` [n] of the log's."""
    at, admitted = np.asarray(at, np.int64), draws.admitted[place]
    inside = (at >= 0) & admitted[at]
    target.outside[place] = outside = max(1 - float(chances[inside].sum()), 0.0)
    target.chances[place] = outside * draws.probabilities(place)
    target.chances[place, at[inside]] += chances[inside]
