"""Select the slate, the ordered list of recommended items, from scored candidates under the business rules.

Items that the caller filters out (`Catalogue.allowed`) get no place. Pinned items have their places. Every other place
has the candidate with the best boosted score that caps and quotas allow, chosen for diversity. A place without such a
candidate has the most popular item of the catalogue that fits, so a slate is short only if the catalogue has none.
A slate that explores draws the candidate of such a place at random (`recsys.rules.exploration`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from recsys.kernels.jit import contiguous
from recsys.kernels.top_k import best
from recsys.rules.caps import Caps
from recsys.rules.catalogue import Catalogue
from recsys.rules.compiled_rules import CompiledRules
from recsys.rules.exploration import DrawPolicy, Exploration, PlaceDraw
from recsys.rules.quotas import CatalogueScan, QuotaCount
from recsys.rules.rules_schema import Pin
from recsys.rules.score_rules import MarginalRelevance, boosted_scores
from recsys.types import F32, I32, I64, PAD, Bool, Source

_SOURCES: dict[tuple[str, ...], int] = {("top_up",): int(Source.POPULAR), ("quota",): int(Source.FRESH)}


@dataclass
class Slate:
    """items, scores: by place. Items from the catalogue score below all candidates.

    places: the place of each item among the candidates, PAD without one; None if rules were applied. moved_by: the
    rules that moved a row, by row. passed_over: of a traced query, the candidates that only rules exclude, each with
    the rule in words.
    """

    items: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    places: I64 | None = field(default=None, compare=False)
    moved_by: dict[int, tuple[str, ...]] = field(default_factory=dict)
    passed_over: dict[int, str] = field(default_factory=dict)
    exploration: Exploration | None = field(default=None, compare=False)

    def source_of(self, row: int) -> int:
        """The `Source` flags of an item that was no candidate, by the rule that added it; 0 for a pin."""
        return _SOURCES.get(self.moved_by.get(row, ()), 0)


def select(
    items: I32,
    scores: F32,
    k: int,
    rules: CompiledRules,
    catalogue: Catalogue,
    context: Mapping[str, str],
    traced: bool = False,
    explore: DrawPolicy | None = None,
) -> Slate:
    """The slate of the k best of candidates [n] that passed the filters. traced: with `Slate.passed_over`.

    explore: how places are drawn; None: each has the best candidate.
    """
    if rules.rules.plain and explore is None:
        order = np.full(k, PAD, np.int64)
        found = best(contiguous(scores), order)
        first = order[:found]
        slate = Slate(items[first].tolist(), scores[first].tolist())
        for row in _popular(catalogue, slate.items, k - found):
            _append(slate, row, _below(slate.scores), "top_up")
        slate.places = order[: len(slate.items)]
        return slate
    selection = _Selection(items, scores, k, rules, catalogue, context)
    if explore is not None and len(items):
        selection.explore(explore, scores)
    return selection.traced(items, scores) if traced else selection.make()


def replay(
    items: I32,
    scores: F32,
    shown: Sequence[int | None],
    rules: CompiledRules,
    catalogue: Catalogue,
    context: Mapping[str, str],
    explore: DrawPolicy,
) -> tuple[Exploration | None, list[int]]:
    """The draws of a slate that holds the rows `shown`, and the row that each place would get, given those before.

    shown: None for a place that keeps the row that it would get.
    items, scores: candidates [n] that passed the filters; without any, no draw is made.
    """
    selection = _Selection(items, scores, len(shown), rules, catalogue, context)
    if len(items):
        selection.explore(explore, scores)
    return selection.replayed(shown)


class _Selection:
    """The state of a slate while its places are filled."""

    def __init__(
        self, items: I32, scores: F32, k: int, rules: CompiledRules, catalogue: Catalogue, context: Mapping[str, str]
    ) -> None:
        self._catalogue, self._k = catalogue, k
        scores, self._moved = boosted_scores(items, scores, rules.boosts, catalogue)
        self._order = order = np.argsort(-scores, kind="stable")
        self._items, self._scores = items[order], scores[order]
        self._pins = _pinned_rows(rules.rules.pin, k, catalogue, context)
        self._left = ~np.isin(self._items, list(self._pins.values()))
        self._caps = Caps(rules.caps)
        self._content = catalogue.content(self._items) if self._caps else self._items[:, None]
        self._quotas = [QuotaCount(quota, k, self._items, self._pins, catalogue) for quota in rules.rules.quota]
        self._quotas.sort(key=lambda quota: quota.days)
        self._popular = CatalogueScan(catalogue.blocks, catalogue.allowed, catalogue.content, self._caps)
        diversity, embeddings = rules.rules.diversity, catalogue.embeddings
        self._relevance = None
        if diversity:
            self._relevance = MarginalRelevance(diversity, self._scores, embeddings(self._items))
        self._slate = Slate()
        self._taken = set(self._pins.values())
        self._trace = False
        self._draw: PlaceDraw | None = None
        self._shown: Sequence[int | None] = ()
        self._wanted: list[int] = []

    def explore(self, policy: DrawPolicy, scores: F32) -> None:
        """Draw the candidates of places from now on. scores: [n] of the ranker, in the order of the candidates."""
        interactions = self._catalogue.interactions(self._items)
        self._draw = PlaceDraw(policy, self._items.tolist(), scores[self._order], interactions, self._k)

    def make(self) -> Slate:
        """Fill all places."""
        waiting = dict(self._pins)
        for place in range(1, self._k + 1):
            if place in waiting:
                self._take(waiting.pop(place), "pin")
            elif not self._fill(place):
                if not waiting:
                    break
                self._take(waiting.pop(min(waiting)), "pin")  # no item fits here: the next pin moves up
        if self._draw:
            self._slate.exploration = self._draw.record(len(self._slate.items))
        return self._slate

    def replayed(self, shown: Sequence[int | None]) -> tuple[Exploration | None, list[int]]:
        """Fill all places with the rows `shown`; the draws, and the row that the rules chose for each place."""
        self._shown = shown
        return self.make().exploration, self._wanted

    def _fill(self, place: int) -> bool:
        """Fill a place with the best eligible item; return whether there is one."""
        eligible = self._left & self._caps.fit(self._content)
        first = int(np.argmax(eligible)) if eligible.any() else len(eligible)
        if self._trace:
            self._note_capped(first, eligible)
        moved_by: list[str] = []
        for quota in self._quotas:  # an item that is new for the first quota is new for all
            if not quota.due(place):
                continue
            if (eligible & quota.new).any():
                eligible = eligible & quota.new
                moved_by = [] if eligible[first] else ["quota"]
                break
            row = quota.newest(self._caps).next(self._taken)
            if row is not None:
                self._take(row, "quota")
                return True
        if not eligible.any():
            row = self._popular.next(self._taken)
            if row is not None:
                self._take(row, "top_up")
            return row is not None
        at, by = self._chosen(place, eligible)
        self._take(int(self._items[at]), *moved_by, *by)
        return True

    def _chosen(self, place: int, eligible: Bool) -> tuple[int, list[str]]:
        """The candidate of a place, of which some is eligible, and what moved it there."""
        first = int(np.argmax(eligible))
        best = self._relevance.best(eligible) if self._relevance else first
        if self._draw:
            values = self._relevance.values(eligible) if self._relevance else self._scores
            drawn = self._draw.draw(place, eligible, values)
            if drawn is not None and drawn != best:
                return drawn, ["explore"]
        return best, ["diversity"] if best != first else []

    def _take(self, row: int, *moved_by: str) -> None:
        """Put a row, a candidate or not, at the next place; in a replay the row that was shown there."""
        if self._shown:
            self._wanted.append(row)
            shown = self._shown[len(self._slate.items)]
            row = row if shown is None else shown
        at = np.flatnonzero(self._items == row)
        self._left[at] = False
        self._taken.add(row)
        score = float(self._scores[at[0]]) if len(at) else _below(self._slate.scores)
        _append(self._slate, row, score, *moved_by, *self._moved.get(row, ()))
        for quota in self._quotas:
            quota.count(row, len(self._slate.items))
        here = np.array([row], np.int32)
        if self._relevance:
            self._relevance.add(self._catalogue.embeddings(here)[0])
        if self._caps and self._caps.place(self._catalogue.content(here)[0]):
            for scan in (self._popular, *(quota.scan for quota in self._quotas if quota.scan)):
                scan.restart()

    def traced(self, items: I32, scores: F32) -> Slate:
        """Fill all places, and name the rule that excludes each candidate with a score among the k best."""
        self._trace = True
        slate = self.make()
        order = items[np.argsort(-scores, kind="stable")].tolist()
        place = {row: at for at, row in enumerate(order)}
        for row in order[: self._k]:
            if row not in self._taken and row not in slate.passed_over:
                own = self._moved.get(row, ())
                later = [each for each in slate.items if place.get(each, len(order)) > place[row]]
                before = [slate.moved_by.get(each, ()) for each in later]
                others = ", ".join(dict.fromkeys(rule for rules in before for rule in rules))
                slate.passed_over[row] = "bury" if "bury" in own else f"others came before it by {others}"
        for row in slate.passed_over.keys() & self._taken:
            del slate.passed_over[row]
        return slate

    def _note_capped(self, first: int, eligible: Bool) -> None:
        """Note the candidates before the first eligible one: a cap excludes them from this place."""
        for at in np.flatnonzero(self._left[:first] & ~eligible[:first]).tolist():
            self._slate.passed_over.setdefault(int(self._items[at]), self._caps.reason(self._content[at]))


def _pinned_rows(pins: Sequence[Pin], k: int, catalogue: Catalogue, context: Mapping[str, str]) -> dict[int, int]:
    """Rows by their place, from 1 to k. Of several pins of a place or of an item, the first in this context counts."""
    found: dict[int, int] = {}
    for pin in pins:
        if pin.place > k or pin.place in found:
            continue
        if any(context.get(column) != value for column, value in pin.context.items()):
            continue
        rows = catalogue.rows_of([pin.item])
        if len(rows) and catalogue.allowed(rows)[0] and int(rows[0]) not in found.values():
            found[pin.place] = int(rows[0])
    return found


def _popular(catalogue: Catalogue, without: Sequence[int], count: int) -> list[int]:
    """The most popular allowed items, without those that the slate has."""
    found: list[int] = []
    if count > 0:
        known = list(without)
        for block in catalogue.blocks():
            rows = block[~np.isin(block, known)]
            found += rows[catalogue.allowed(rows)][: count - len(found)].tolist()
            if len(found) == count:
                break
    return found


def _below(scores: Sequence[float]) -> float:
    """A score below all scores of the slate."""
    return min(scores, default=0.0) - 1.0


def _append(slate: Slate, row: int, score: float, *moved_by: str) -> None:
    slate.items.append(row)
    slate.scores.append(score)
    if moved_by:
        slate.moved_by[row] = moved_by
