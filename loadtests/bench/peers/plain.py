"""Recommendations by plain torch, faiss and numpy, without compiled kernels, for the benchmark's other servers.

It finds candidates, scores them and hides seen items as the service does, one request at a time, and so must
recommend the same items.
"""

from __future__ import annotations

import faiss
import numpy as np
import torch

from loadtests.bench.peers.engine import Engine
from recsys import reference
from recsys.generation.manifest import RANKER, TOWERS, GenerationFolder
from recsys.model.feature_spec import NO_TOKEN
from recsys.model.neighbour_tables import RECENT, VOTE_DECAY, Neighbours
from recsys.model.ranker import RankerNet
from recsys.model.towers import load_user_tower
from recsys.reference import encode
from recsys.retrieval.registry import RETRIEVED
from recsys.retrieval.sources.new_items import LIKED_TOKENS, PER_TOKEN
from recsys.retrieval.sources.new_items import RECENT as RECENT_TOKENS
from recsys.retrieval.sources.popular import most_popular
from recsys.types import CANDIDATES, F32, HISTORY_LENGTH, I32, PAD, U16, Candidates, Histories, Source


class PlainRecommender(Engine):
    """Retrieval and ranking without compiled kernels."""

    def __init__(self, folder: GenerationFolder) -> None:
        super().__init__(folder)
        tables = self.tables
        self._tower = load_user_tower(folder.path / TOWERS)
        self._net = RankerNet.load(folder.path / RANKER)
        self._popular = most_popular(tables, CANDIDATES + HISTORY_LENGTH)
        self._shown = np.flatnonzero(tables.available)
        self._index = faiss.IndexFlatIP(tables.embeddings.shape[1])
        self._index.add(np.ascontiguousarray(tables.embeddings[self._shown]))
        self._newest = _newest_of_tokens(tables.content, self._taken_newest())
        absent = {Source.REPEAT} if self.exclude_seen else set()
        if not tables.ease.width:
            absent.add(Source.EASE)
        self._shares = {each.flag: each.share for each in RETRIEVED if each.share and each.flag not in absent}

    def candidates(self, past: Histories) -> tuple[I32, F32, U16]:
        """As `Engine.candidates`."""
        user, rows = encode(self._tower, self.tables.embeddings, past), past.items[0]
        items, sources = self._joined(self._lists(user, rows), rows[rows != PAD])
        tower = self.tables.embeddings[items] @ user[0]
        order = np.argsort(-tower, kind="stable")[:CANDIDATES]
        return items[order], tower[order], sources[order]

    def scores(self, past: Histories, items: I32, tower: F32, sources: U16) -> F32:
        """As `Engine.scores`."""
        x = reference.build(self.tables, past, Candidates(items[None], tower[None], sources[None]))
        with torch.inference_mode():
            scores: F32 = self._net(torch.from_numpy(x[0])).numpy()
        return scores

    def _lists(self, user: F32, past: I32) -> dict[int, I32]:
        """What each source names, best first, with as many more as may have been had."""
        spare = len(past) if self.exclude_seen else 0
        wanted = CANDIDATES - sum(self._shares.values()) + spare
        lists: dict[int, I32] = {
            Source.TOWER: self._shown[self._index.search(user, min(wanted, len(self._shown)))[1][0]]
        }
        for source, k in self._shares.items():
            if source == Source.COVISIT:
                lists[source] = _most_voted(self.tables.covisit, past, k + spare)
            elif source == Source.EASE:
                lists[source] = _most_voted(self.tables.ease, past, k + spare)
            elif source == Source.POPULAR:
                lists[source] = self._popular[: k + spare]
            elif source == Source.FRESH:
                lists[source] = self._bring_fresh(past)
            elif source == Source.REPEAT:
                lists[source] = _repeats(past[past != PAD], self.tables.available, k)
            else:
                raise NotImplementedError(f"The plain peer lacks the source of flag {source}.")
        return lists

    def _joined(self, lists: dict[int, I32], past: I32) -> tuple[I32, U16]:
        """The distinct items of all lists that may be shown, and the flags of those that named them."""
        shares = {Source.TOWER: CANDIDATES - sum(self._shares.values()), **self._shares}
        parts = []
        for source, rows in lists.items():
            if self.exclude_seen:
                rows = rows[~np.isin(rows, past)]
            parts.append((rows[: shares[source]], np.uint16(source)))
        everything = np.concatenate([rows for rows, _ in parts])
        flags = np.concatenate([np.full(len(rows), flag, np.uint16) for rows, flag in parts])
        items, first, inverse = np.unique(everything, return_index=True, return_inverse=True)
        sources = np.zeros(len(items), np.uint16)
        np.bitwise_or.at(sources, inverse, flags)
        order = np.argsort(first)
        items, sources = items[order].astype(np.int32), sources[order]
        shown = self.tables.available[items]
        return items[shown], sources[shown]

    def _bring_fresh(self, past: I32) -> I32:
        """New items of the tokens that stand most often in the recent history."""
        recent = past[-RECENT_TOKENS:]
        tokens = self.tables.content[recent[recent != PAD]]
        liked, counts = np.unique(tokens[tokens != NO_TOKEN], return_counts=True)
        best = liked[np.argsort(-counts, kind="stable")][:LIKED_TOKENS]
        lists = [self._newest[token] for token in best.tolist() if token in self._newest]
        return np.concatenate(lists) if lists else np.zeros(0, np.int32)

    def _taken_newest(self) -> I32:
        """Available items with interactions, the newest first."""
        tables = self.tables
        newest = np.argsort(tables.age, kind="stable")
        return newest[tables.available[newest] & (tables.popularity[newest, 0] > 0)].astype(np.int32)


def _newest_of_tokens(content: I32, newest: I32) -> dict[int, I32]:
    """The first items of each content token."""
    place, column = np.nonzero(content[newest] != NO_TOKEN)
    token = content[newest][place, column]
    order = np.argsort(token, kind="stable")
    tokens, starts = np.unique(token[order], return_index=True)
    parts = np.split(newest[place][order], starts[1:])
    return {int(each): part[:PER_TOKEN] for each, part in zip(tokens, parts, strict=True)}


def _most_voted(table: Neighbours, past: I32, k: int) -> I32:
    """The k items that the newest of a history vote for most."""
    recent = past[-RECENT:][::-1]
    steps = np.flatnonzero(recent != PAD)
    rows, weights = table.rows[recent[steps]], table.weights[recent[steps]]
    votes = weights * (np.float32(VOTE_DECAY) ** steps.astype(np.float32))[:, None]
    items, inverse = np.unique(rows[rows != PAD], return_inverse=True)
    total = np.bincount(inverse, votes[rows != PAD], minlength=len(items)).astype(np.float32)
    best = np.argsort(-total, kind="stable")
    return items[best[total[best] != 0]][:k]


def _repeats(past: I32, available: np.ndarray, k: int) -> I32:
    """The k items that a user came to last."""
    items, first = np.unique(past[::-1], return_index=True)
    latest = items[np.argsort(first)]
    return latest[available[latest]][:k]
