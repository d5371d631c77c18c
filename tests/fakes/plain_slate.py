"""Slow and obvious reference for slates (ordered lists of recommended items) under business rules.

It has a small catalogue. Tests compare the slates of the service with those of this reference.
"""

from dataclasses import dataclass

import numpy as np

from recsys.model.feature_spec import FeatureSpec
from recsys.rules import compile_rules, parse, select

GENRES = ("Drama", "Comedy", "Action")
SPEC = FeatureSpec(
    tokens=("", *(f"genre={name}" for name in GENRES)),
    edges={"price": (3.0,)},
    event_types=("click",),
    columns=("genre", "price"),
    numbers=("price",),
)


@dataclass
class Catalogue:
    """A catalogue of n items: genres of each, which may be shown, which are new."""

    genres: list
    hidden: frozenset = frozenset()
    new: frozenset = frozenset()
    """Those came row modulo 7 days ago, all others long ago."""

    def blocks(self):
        rows = np.arange(len(self.genres), dtype=np.int32)
        for start in range(0, len(rows), 3):
            yield rows[start : start + 3]

    def newest(self):
        yield np.array(sorted(self.new, key=lambda row: (row % 7, row)), np.int32)

    def allowed(self, rows):
        return np.array([int(row) not in self.hidden for row in rows], bool)

    def content(self, rows):
        content = np.zeros((len(rows), len(GENRES)), np.int32)
        for at, row in enumerate(rows):
            tokens = [1 + GENRES.index(name) for name in self.genres[int(row)]]
            content[at, : len(tokens)] = tokens
        return content

    def numbers(self, rows):
        """The price of an item is its row; every third has none."""
        return np.array([[np.nan if row % 3 == 2 else row] for row in rows], np.float64).reshape(len(rows), 1)

    def embeddings(self, rows):
        """Items of the same genres point the same way."""
        vectors = np.zeros((len(rows), len(GENRES)), np.float32)
        for at, row in enumerate(rows):
            for name in self.genres[int(row)]:
                vectors[at, GENRES.index(name)] = 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)

    def is_new(self, rows, days):
        return np.array([int(row) in self.new and row % 7 <= days for row in rows], bool)

    def interactions(self, rows):
        """Every second row has one interaction, the others have 100."""
        return np.where(np.asarray(rows) % 2, 1, 100).astype(np.float32)

    def rows_of(self, items):
        return np.array([item for item in items if item < len(self.genres)], np.int32)


def slate(world, items, scores, k, text, traced=True, explore=None, **context):
    rules = compile_rules(parse(text), SPEC)
    return select(np.array(items, np.int32), np.array(scores, np.float32), k, rules, world, context, traced, explore)


def expected(world, items, scores, k, rules):
    """The rows of a slate: candidates with scores, under rules, in no context."""
    return [*admitted(world, items, scores, k, rules)]


def admitted(world, items, scores, k, rules, drawn=None):
    """What the rules admit at each place, by the row of the place: candidates to draw from, or none.

    drawn: the rows of a slate that explores, which take their places where they may; None: the best candidates do.
    """
    boosted = _boosted(world, items, scores, rules)
    pins = _pins(world, rules, k)
    made, waiting = {}, dict(pins)
    for place in range(1, k + 1):
        if place in waiting:
            made[waiting.pop(place)] = ()
            continue
        free = [row for row in range(len(world.genres)) if row not in (*made, *pins.values(), *world.hidden)]
        fitting = [row for row in free if _fits(world, row, place, made, rules)]
        row, among = _chosen(world, place, made, boosted, fitting, pins, k, rules)
        if row is None and not waiting:
            break
        if drawn is not None and drawn[place - 1] in among:
            row = drawn[place - 1]
        made[waiting.pop(min(waiting)) if row is None else row] = among
    return made


def _boosted(world, items, scores, rules):
    array = np.array(scores, np.float32)
    spread = float(np.std(array)) or 1.0 if len(array) else 1.0
    boosted = dict(zip(items, array, strict=True))
    for shift, sign in [(shift, 1) for shift in rules.boost] + [(shift, -1) for shift in rules.bury]:
        for row in items:
            if row in shift.items or _meant(world, row, shift.where):
                boosted[row] = boosted[row] + np.float32(sign * shift.by * spread)
    return boosted


def _meant(world, row, where):
    genres, price = where.get("genre"), where.get("price")
    cheap = price is None or (row % 3 != 2 and row < price.lt)
    return bool(where) and cheap and (genres is None or any(genre in world.genres[row] for genre in genres))


def _pins(world, rules, k):
    pins = {}
    for pin in rules.pin:
        shown = pin.item < len(world.genres) and pin.item not in world.hidden
        if shown and pin.place <= k and pin.place not in pins and pin.item not in pins.values() and not pin.context:
            pins[pin.place] = pin.item
    return pins


def _fits(world, row, place, made, rules):
    caps = [cap for cap in rules.cap if cap.column == "genre" and place <= (cap.within or place)]
    return not any(
        sum(genre in world.genres[other] for other in made) >= cap.at_most
        for cap in caps
        for genre in world.genres[row]
    )


def _chosen(world, place, made, boosted, fitting, pins, k, rules):
    """The row of a place, None without one, and the candidates that were admitted."""
    order = sorted(boosted, key=lambda row: -boosted[row])
    candidates = [row for row in order if row in fitting]
    for quota in sorted(rules.quota, key=lambda quota: quota.new_within_days):
        new = [row for row in range(len(world.genres)) if row in world.new and row % 7 <= quota.new_within_days]
        places = range(place, min(quota.within, k) + 1)
        still = quota.at_least - sum(row in new for row in made) - sum(pins.get(at) in new for at in places)
        if places and still >= sum(at not in pins for at in places):
            if any(row in new for row in candidates):
                candidates = [row for row in candidates if row in new]
                break
            others = [row for row in fitting if row in new]
            if others:
                return min(others, key=lambda row: (row % 7, row)), ()
    if candidates and rules.diversity:
        best = _unlike(world, made, order, boosted, candidates, rules.diversity)
        return best, candidates
    return next(iter(candidates or fitting), None), candidates


def _unlike(world, made, order, boosted, candidates, diversity):
    rows, scores = np.array(order, np.int32), np.array([boosted[row] for row in order], np.float32)
    spread = float(scores.max()) - float(scores.min())
    relevance = ((scores - float(scores.min())) / (spread or 1.0)).astype(np.float32)
    likest = np.zeros(len(rows), np.float32)
    for row in made:
        likest = np.maximum(likest, world.embeddings(rows) @ world.embeddings([row])[0])
    worth = dict(zip(order, (1 - diversity.weight) * relevance - diversity.weight * likest, strict=True))
    return max(candidates[: diversity.among], key=worth.__getitem__)
