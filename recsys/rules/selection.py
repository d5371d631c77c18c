"""The slate: of scored candidates and a catalogue, under rules. One pure function.

What comes first: the caller's hard filters (`Catalogue.allowed`), always; then pins; then, place by place, caps and
quotas; and what these leave is ordered by boosted score, made diverse. A place that no candidate may take goes to the
most popular item that may: a slate is short only where no item of the catalogue may stand at its next place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from recsys.kernels.compiled import plain
from recsys.kernels.top import best
from recsys.rules.boosts import shifted
from recsys.rules.caps import Caps
from recsys.rules.catalogue import Catalogue
from recsys.rules.compiled_rules import CompiledRules
from recsys.rules.diversity import Unlikeness
from recsys.rules.pins import pinned
from recsys.rules.quotas import QuotaCount
from recsys.rules.walk import Walk
from recsys.types import F32, I32, I64, PAD, Bool, Source

_BROUGHT: dict[tuple[str, ...], int] = {("top_up",): int(Source.POPULAR), ("quota",): int(Source.FRESH)}


@dataclass
class Slate:
    """items, scores: the final places; what topped the slate up scores below all. words: the rules that moved a row.

    places: where each stood among the candidates, PAD where it did not; None where that was not kept. passed_over:
    where a query is traced, candidates that rules kept out where their score would have put them in, each with the rule
    in words.
    """

    items: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    places: I64 | None = field(default=None, compare=False)
    words: dict[int, tuple[str, ...]] = field(default_factory=dict)
    passed_over: dict[int, str] = field(default_factory=dict)

    def brought(self, row: int) -> int:
        """Where a row came from that was no candidate, by the rules that moved it: `Source` flags, none of a pin."""
        return _BROUGHT.get(self.words.get(row, ()), 0)


def select(
    items: I32,
    scores: F32,
    k: int,
    rules: CompiledRules,
    catalogue: Catalogue,
    context: Mapping[str, str],
    traced: bool = False,
) -> Slate:
    """The k best of candidates [n] that passed the hard filters, each once."""
    if rules.rules.plain:
        order = np.full(k, PAD, np.int64)
        found = best(plain(scores), order)
        first = order[:found]
        slate = Slate(items[first].tolist(), scores[first].tolist())
        for row in _popular(catalogue, slate.items, k - found):
            _append(slate, row, _below(slate.scores), "top_up")
        slate.places = order[: len(slate.items)]
        return slate
    selection = _Selection(items, scores, k, rules, catalogue, context)
    return selection.traced(items, scores) if traced else selection.made()


class _Selection:
    """One slate in the making."""

    def __init__(
        self, items: I32, scores: F32, k: int, rules: CompiledRules, catalogue: Catalogue, context: Mapping[str, str]
    ) -> None:
        self._catalogue, self._k = catalogue, k
        scores, self._moved = shifted(items, scores, rules.shifts, catalogue)
        order = np.argsort(-scores, kind="stable")
        self._items, self._scores = items[order], scores[order]
        self._pins = pinned(rules.rules.pin, k, catalogue, context)
        self._left = ~np.isin(self._items, list(self._pins.values()))
        self._caps = Caps(rules.caps)
        self._content = catalogue.content(self._items) if self._caps else self._items[:, None]
        self._quotas = [QuotaCount(quota, k, self._items, self._pins, catalogue) for quota in rules.rules.quota]
        self._quotas.sort(key=lambda quota: quota.days)
        self._popular = Walk(catalogue.blocks, catalogue.allowed, catalogue.content, self._caps)
        diversity, embeddings = rules.rules.diversity, catalogue.embeddings
        self._unlike = Unlikeness(diversity, self._scores, embeddings(self._items)) if diversity else None
        self._slate = Slate()
        self._taken = set(self._pins.values())
        self._trace = False

    def made(self) -> Slate:
        """The slate."""
        waiting = dict(self._pins)
        for place in range(1, self._k + 1):
            if place in waiting:
                self._take(waiting.pop(place), "pin")
            elif not self._fill(place):
                if not waiting:
                    break
                self._take(waiting.pop(min(waiting)), "pin")  # nothing else may stand here: pins close up
        return self._slate

    def _fill(self, place: int) -> bool:
        """Take the best that may stand at a place; whether there was one."""
        eligible = self._left & self._caps.fit(self._content)
        first = int(np.argmax(eligible)) if eligible.any() else len(eligible)
        if self._trace:
            self._note_capped(first, eligible)
        word: list[str] = []
        for quota in self._quotas:  # what is new enough for the first of them is so for the others
            if not quota.due(place):
                continue
            if (eligible & quota.new).any():
                eligible = eligible & quota.new
                word = [] if eligible[first] else ["quota"]
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
        first = int(np.argmax(eligible))
        at = self._unlike.best(eligible) if self._unlike else first
        self._take(int(self._items[at]), *word, *(["diversity"] if at != first else []))
        return True

    def _take(self, row: int, *words: str) -> None:
        """Put a row, a candidate or not, at the next place."""
        at = np.flatnonzero(self._items == row)
        self._left[at] = False
        self._taken.add(row)
        score = float(self._scores[at[0]]) if len(at) else _below(self._slate.scores)
        _append(self._slate, row, score, *words, *self._moved.get(row, ()))
        for quota in self._quotas:
            quota.count(row, len(self._slate.items))
        here = np.array([row], np.int32)
        if self._unlike:
            self._unlike.chose(self._catalogue.embeddings(here)[0])
        if self._caps and self._caps.place(self._catalogue.content(here)[0]):
            for walk in (self._popular, *(quota.walk for quota in self._quotas if quota.walk)):
                walk.again()

    def traced(self, items: I32, told: F32) -> Slate:
        """The slate, and why candidates whose told scores would have put them in are not."""
        self._trace = True
        slate = self.made()
        order = items[np.argsort(-told, kind="stable")].tolist()
        place = {row: at for at, row in enumerate(order)}
        for row in order[: self._k]:
            if row not in self._taken and row not in slate.passed_over:
                own = self._moved.get(row, ())
                before = [slate.words.get(each, ()) for each in slate.items if place.get(each, len(order)) > place[row]]
                others = ", ".join(dict.fromkeys(word for words in before for word in words))
                slate.passed_over[row] = "bury" if "bury" in own else f"others came before it by {others}"
        for row in slate.passed_over.keys() & self._taken:
            del slate.passed_over[row]
        return slate

    def _note_capped(self, first: int, eligible: Bool) -> None:
        """Candidates with a better score than the first that is eligible: a cap keeps them from this place."""
        for at in np.flatnonzero(self._left[:first] & ~eligible[:first]).tolist():
            self._slate.passed_over.setdefault(int(self._items[at]), self._caps.named(self._content[at]))


def _popular(catalogue: Catalogue, without: Sequence[int], count: int) -> list[int]:
    """So many of the most popular items that are allowed, but for some."""
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
    """A score below all there are."""
    return min(scores, default=0.0) - 1.0


def _append(slate: Slate, row: int, score: float, *words: str) -> None:
    slate.items.append(row)
    slate.scores.append(score)
    if words:
        slate.words[row] = words
