"""The slate: of scored candidates and a catalogue, under rules. One pure function.

What comes first: the caller's hard filters (`Catalogue.allowed`), always; then pins; then, place by place, caps and
quotas; and what these leave is ordered by boosted score, made diverse. A place that no candidate may take goes to the
most popular item that may: a slate is short only where no item of the catalogue may stand at its next place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from recsys.rules.compiled import CompiledRules
from recsys.rules.document import Quota
from recsys.types import F32, I32, Bool, Id


class Catalogue(Protocol):
    """What selection asks of a generation, for one request."""

    def blocks(self) -> Iterator[I32]:
        """Every row, the most popular first, some thousands at a time."""

    def allowed(self, rows: I32) -> Bool:
        """Which rows pass every hard filter."""

    def content(self, rows: I32) -> I32:
        """Content tokens: [n, C]."""

    def embeddings(self, rows: I32) -> F32:
        """Item embeddings: [n, d], of length 1 or 0."""

    def is_new(self, rows: I32, days: float) -> Bool:
        """Which rows came into the catalogue in the last so many days."""

    def rows_of(self, items: Sequence[Id]) -> I32:
        """Rows of the items that are known."""


@dataclass
class Slate:
    """items, scores: the final places; what topped the slate up scores below all. words: the rules that moved a row.

    passed_over: candidates that a cap kept out where their score would have put them in, with the cap in words.
    """

    items: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    words: dict[int, tuple[str, ...]] = field(default_factory=dict)
    passed_over: dict[int, str] = field(default_factory=dict)


def select(
    items: I32, scores: F32, k: int, rules: CompiledRules, catalogue: Catalogue, context: Mapping[str, str]
) -> Slate:
    """The k best of candidates [n] that passed the hard filters, each once."""
    if rules.rules.plain:
        order = np.argsort(-scores, kind="stable")[:k]
        slate = Slate(items[order].tolist(), scores[order].tolist())
        for row in _popular(catalogue, slate.items, k - len(slate.items)):
            _append(slate, row, _below(slate.scores), "top_up")
        return slate
    return _Selection(items, scores, k, rules, catalogue, context).made()


class _Selection:
    """One slate in the making."""

    def __init__(
        self, items: I32, scores: F32, k: int, rules: CompiledRules, catalogue: Catalogue, context: Mapping[str, str]
    ) -> None:
        self._rules, self._catalogue, self._k = rules, catalogue, k
        self._slate = Slate()
        scores, self._moved = self._shifted(items, scores)
        order = np.argsort(-scores, kind="stable")
        self._items, self._scores = items[order], scores[order]
        self._left = np.ones(len(items), bool)
        self._content = catalogue.content(self._items)
        self._pins = self._pinned(context)
        self._left &= ~np.isin(self._items, list(self._pins.values()))
        self._counts = [dict.fromkeys(cap.tokens.tolist(), 0) for cap in rules.caps]
        self._quotas = [(quota, catalogue.is_new(self._items, quota.new_within_days)) for quota in rules.rules.quota]
        self._more = _Walk(catalogue)
        self._unlike = _Unlikeness(self._items, self._scores, catalogue, rules) if rules.rules.diversity else None

    def made(self) -> Slate:
        """The slate."""
        waiting = dict(self._pins)
        for place in range(1, self._k + 1):
            if place in waiting:
                self._pin(waiting.pop(place))
            elif not self._fill(place):
                if not waiting:
                    break
                self._pin(waiting.pop(min(waiting)))  # nothing else may stand here: pins close up
        return self._slate

    def _pin(self, row: int) -> None:
        self._take(row, self._score_of(row), ["pin"])

    def _fill(self, place: int) -> bool:
        """Take the best that may stand at a place; whether there was one."""
        eligible = self._left & self._fits(self._content, place)
        word: list[str] = []
        needed = [new for quota, new in self._quotas if self._short(quota, place)]
        for new in needed:
            if (eligible & new).any():
                wanted = eligible & new
                if not wanted[np.argmax(eligible)]:
                    word = ["quota"]
                eligible = wanted
        if not eligible.any():
            self._note_passed_over(len(self._items), place)
            return self._top_up(place)
        at = int(np.argmax(eligible)) if self._unlike is None else self._unlike.best(eligible)
        if self._unlike is not None and at != int(np.argmax(eligible)):
            word = [*word, "diversity"]
        self._note_passed_over(at, place)
        self._left[at] = False
        self._take(int(self._items[at]), float(self._scores[at]), word)
        if self._unlike is not None:
            self._unlike.chose(at)
        return True

    def _top_up(self, place: int) -> bool:
        """Take the most popular item of the catalogue that may stand at a place."""
        taken = {*self._slate.items, *self._pins.values()}
        for row, content in self._more:
            if row not in taken and self._fits(content[None], place)[0]:
                self._more.took(row)
                self._take(row, _below(self._slate.scores), ["top_up"])
                return True
        return False

    def _take(self, row: int, score: float, word: list[str]) -> None:
        words = (*word, *self._moved.get(row, ()))
        self._slate.items.append(row)
        self._slate.scores.append(score)
        if words:
            self._slate.words[row] = words
        tokens = self._catalogue.content(np.array([row], np.int32))[0].tolist() if self._counts else []
        for cap, counts in zip(self._rules.caps, self._counts, strict=True):
            if len(self._slate.items) <= cap.within:
                for token in set(tokens) & counts.keys():
                    counts[token] += 1

    def _fits(self, content: I32, place: int) -> Bool:
        """Which rows of content no cap keeps from a place."""
        fits = np.ones(len(content), bool)
        for cap, counts in zip(self._rules.caps, self._counts, strict=True):
            full = [token for token, count in counts.items() if count >= cap.at_most]
            if full and place <= cap.within:
                fits &= ~np.isin(content, full).any(axis=1)
        return fits

    def _short(self, quota: Quota, place: int) -> bool:
        """Whether every place that is left to a quota is needed for it."""
        if place > quota.within:
            return False
        here = np.array(self._slate.items, np.int32)
        have = int(self._catalogue.is_new(here, quota.new_within_days).sum()) if len(here) else 0
        coming = [self._pins[at] for at in self._pins if place < at <= quota.within]
        have += int(self._catalogue.is_new(np.array(coming, np.int32), quota.new_within_days).sum()) if coming else 0
        left = min(quota.within, self._k) - place + 1 - len(coming)
        return quota.at_least - have >= left

    def _note_passed_over(self, at: int, place: int) -> None:
        """Candidates with a better score than the one that is taken, which a cap keeps from this place."""
        for ahead in np.flatnonzero(self._left[:at] & ~self._fits(self._content[:at], place)).tolist():
            self._slate.passed_over.setdefault(int(self._items[ahead]), self._full(self._content[ahead]))

    def _full(self, content: I32) -> str:
        for cap, counts in zip(self._rules.caps, self._counts, strict=True):
            for token in content.tolist():
                if counts.get(token, 0) >= cap.at_most:
                    return f"cap {cap.names[token]}"
        return "cap"

    def _score_of(self, row: int) -> float:
        at = np.flatnonzero(self._items == row)
        return float(self._scores[at[0]]) if len(at) else _below(self._slate.scores)

    def _shifted(self, items: I32, told: F32) -> tuple[F32, dict[int, tuple[str, ...]]]:
        """Scores with what boosts and buries add, and which rows they moved."""
        scores: F32 = told.copy()
        if not self._rules.shifts or not len(items):
            return scores, {}
        content, spread = self._catalogue.content(items), float(np.std(scores)) or 1.0
        moved: dict[int, tuple[str, ...]] = {}
        for shift in self._rules.shifts:
            if shift.items:
                meant = np.isin(items, self._catalogue.rows_of(shift.items))
            else:
                meant = np.all([(content == token).any(axis=1) for token in shift.tokens], axis=0)
            scores[meant] += np.float32(shift.by * spread)
            for row in items[meant].tolist():
                moved[row] = (*moved.get(row, ()), shift.word)
        return scores, moved

    def _pinned(self, context: Mapping[str, str]) -> dict[int, int]:
        """Rows by the place they are pinned to; the first pin of a place and of an item holds."""
        pins: dict[int, int] = {}
        for pin in self._rules.rules.pin:
            if pin.place > self._k or pin.place in pins:
                continue
            if any(context.get(column) != value for column, value in pin.context.items()):
                continue
            rows = self._catalogue.rows_of([pin.item])
            if len(rows) and self._catalogue.allowed(rows)[0] and int(rows[0]) not in pins.values():
                pins[pin.place] = int(rows[0])
        return pins


class _Unlikeness:
    """Maximal marginal relevance. Carbonell and Goldstein, "The Use of MMR", SIGIR 1998."""

    def __init__(self, items: I32, scores: F32, catalogue: Catalogue, rules: CompiledRules) -> None:
        diversity = rules.rules.diversity
        assert diversity is not None
        self._weight, self._among = diversity.weight, diversity.among
        least, most = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 0.0)
        self._relevance = ((scores - least) / ((most - least) or 1.0)).astype(np.float32)
        self._embeddings = catalogue.embeddings(items)
        self._likest = np.zeros(len(items), np.float32)

    def best(self, eligible: Bool) -> int:
        """The eligible candidate, among the first so many of them, that is relevant and unlike what was chosen."""
        places = np.flatnonzero(eligible)[: self._among]
        worth = (1 - self._weight) * self._relevance[places] - self._weight * self._likest[places]
        return int(places[np.argmax(worth)])

    def chose(self, at: int) -> None:
        """Count a candidate among those that others are to be unlike."""
        self._likest = np.maximum(self._likest, self._embeddings @ self._embeddings[at])


class _Walk:
    """The allowed items by popularity; what was skipped for one place is looked at again for others."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._blocks = catalogue.blocks()
        self._seen: dict[int, I32] = {}

    def __iter__(self) -> Iterator[tuple[int, I32]]:
        yield from list(self._seen.items())
        for block in self._blocks:
            rows = block[self._catalogue.allowed(block)]
            new = dict(zip(rows.tolist(), self._catalogue.content(rows), strict=True))
            self._seen |= new
            yield from new.items()

    def took(self, row: int) -> None:
        """Look at a row no more."""
        self._seen.pop(row, None)


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


def _append(slate: Slate, row: int, score: float, word: str) -> None:
    slate.items.append(row)
    slate.scores.append(score)
    slate.words[row] = (word,)
