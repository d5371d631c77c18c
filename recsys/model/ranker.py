"""The ranker: a small neural network that scores candidate items for a user, in torch and compiled for serving.

The network is DCN-v2 (Wang et al., "DCN V2", WWW 2021): cross layers x_{l+1} = x_0 * (W x_l + b) + x_l beside an MLP.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recsys.fresh_items.extended_tables import SnapshotCache, TableExtender
from recsys.fresh_items.put_items import PutItems
from recsys.generation.item_tables import ItemTables
from recsys.generation.manifest import RANKER, TOWERS, GenerationFolder
from recsys.kernels import ranker_net
from recsys.kernels.jit import contiguous
from recsys.kernels.recent_events import NO_EVENTS, RecentEvents
from recsys.model import features
from recsys.model.event_counts import NO_COUNTS, EventCounts, ItemNumbers
from recsys.model.towers import content_encoder
from recsys.types import F32, I64, PAD, Candidates, Histories

CROSS_LAYERS = 2
BOUND = 5.0
"""Deviations from the mean at which a feature is clipped."""

CHUNK = 16
"""Queries whose features are computed at once, 1.7 MB."""


class RankerNet(nn.Module):
    """Maps features [..., F] to a score [...]. Mean and deviation of the training data standardise the features."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int = len(features.FEATURES), hidden: int = 64) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.cross = nn.ModuleList(nn.Linear(width, width) for _ in range(CROSS_LAYERS))
        self.deep = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.out = nn.Linear(width + hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of feature rows."""
        x0 = ((x - self.mean) / self.deviation).clamp(-BOUND, BOUND)
        crossed = x0
        for layer in self.cross:
            crossed = x0 * layer(crossed) + crossed
        score: Tensor = self.out(torch.cat([crossed, self.deep(x0)], dim=-1)).squeeze(-1)
        return score

    def save(self, path: Path) -> None:
        """Write the weights as safetensors."""
        save_file(self.state_dict(), path)

    @classmethod
    def load(cls, path: Path) -> RankerNet:
        """Read weights that `save` wrote. The sizes follow from the tensors."""
        state = load_file(path)
        net = cls(len(state["mean"]), len(state["deep.0.weight"]))
        net.load_state_dict(state)
        return net.eval()


def compiled_net(net: RankerNet) -> Callable[[F32], F32]:
    """The net as serving runs it: scores [B, K] of features [B, F, K], all layers of one block of candidates at once.

    `RankerNet` itself takes nearly twice as long (measured 2026-12-01, tag `before-the-cut`): its arrays leave the
    cache on their way from one operator to the next.
    """
    crosses, deep = [_weights(layer) for layer in net.cross], [_weights(net.deep[at]) for at in (0, 2)]
    out, out_bias = _weights(net.out)
    width = len(net.mean)
    weights = ranker_net.RankerWeights(
        mean=net.mean.numpy().copy(),
        scale=1 / net.deviation.numpy(),
        # The first cross layer and the first deep layer read the same features: one product for both.
        first=np.concatenate([crosses[0][0], deep[0][0]]),
        first_bias=np.concatenate([crosses[0][1], deep[0][1]]),
        crosses=np.stack([weight for weight, _ in crosses[1:]]),
        cross_biases=np.stack([bias for _, bias in crosses[1:]]),
        deep=deep[1][0].copy(),
        deep_bias=deep[1][1].copy(),
        out_crossed=out[:, :width].copy(),
        out_deep=out[:, width:].copy(),
        out_bias=out_bias.copy(),
    )

    def scores(x: F32) -> F32:
        found = np.empty((len(x), x.shape[2]), np.float32)
        ranker_net.scores(contiguous(x), weights, np.float32(BOUND), found)
        return found

    return scores


def _weights(layer: nn.Module) -> tuple[F32, F32]:
    """Weight [out, in] and bias [out, 1]."""
    assert isinstance(layer, nn.Linear)
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()[:, None]


class Ranker:
    """Scores the candidates of one generation."""

    def __init__(
        self,
        net: RankerNet,
        tables: ItemTables,
        extender: TableExtender | None = None,
        numbers: ItemNumbers | None = None,
    ) -> None:
        """extender: for `with_items` alone. numbers: of the generation's items, for `with_counts` alone."""
        self._net, self._inputs = net.eval(), _inputs(len(net.mean), features.width(tables))
        self._scores = compiled_net(net)
        self._tables = tables
        self.recent = NO_EVENTS
        self._numbers = numbers = numbers or ItemNumbers(tables.ids.rows_of, len(tables))
        self._extended = (
            SnapshotCache(lambda puts: Ranker(net, extender.extend(puts), None, numbers)) if extender else None
        )
        self._counting = lru_cache(maxsize=3)(self._with_counts)  # a thread prepares the next while the last two serve

    @classmethod
    def load(cls, folder: GenerationFolder, tables: ItemTables | None = None) -> Ranker:
        """The ranker of a verified generation; tables: instead of the folder's own."""
        tables = tables or folder.tables()
        extender = TableExtender.load(folder, tables, content_encoder(folder.path / TOWERS))
        return cls(RankerNet.load(folder.path / RANKER), tables, extender)

    def with_items(self, puts: PutItems) -> Ranker:
        """The ranker for the generation extended by items added since; the same object without any."""
        return self._extended.of(puts) if self._extended and len(puts) else self

    def with_counts(self, counts: EventCounts) -> Ranker:
        """The ranker with the store's counts of events; those of items that it lacks are left out."""
        return self if counts is NO_COUNTS else self._counting(counts)

    def _with_counts(self, counts: EventCounts) -> Ranker:
        return self.counting(counts.of_places(self._numbers.of(counts.names, self._tables.put_places)))

    def counting(self, recent: RecentEvents) -> Ranker:
        """The ranker whose features count these events of all users."""
        other = copy.copy(self)
        other.recent = recent
        return other

    def score(self, histories: Histories, candidates: Candidates) -> F32:
        """Ranker scores [B, K] float32, -inf for PAD and for unknown rows. Unknown rows of a history are left out."""
        histories, candidates, order = self._known(histories, candidates)
        return _restored(self._score(histories, candidates), order)

    def features_and_scores(self, histories: Histories, candidates: Candidates) -> tuple[F32, F32]:
        """Features [B, K, F] float32, zero for PAD and for unknown rows, and the scores of `score`."""
        histories, candidates, order = self._known(histories, candidates)
        built = np.empty((*candidates.items.shape, features.width(self._tables)), np.float32)
        scores = self._score(histories, candidates, built)
        return _restored(built, order), _restored(scores, order)

    def _known(self, histories: Histories, candidates: Candidates) -> tuple[Histories, Candidates, I64 | None]:
        """Both without unknown rows, and the order of the candidates if unknown ones were moved to the end."""
        if not self._tables.knows_all(histories.items):
            histories = histories.only(self._tables.holds(histories.items))
        if self._tables.knows_all(candidates.items):
            return histories, candidates, None
        named = self._tables.holds(candidates.items)
        order = np.argsort(~named, axis=1, kind="stable")
        columns = np.where(named, candidates.items, PAD), candidates.tower, candidates.sources
        return histories, Candidates(*(np.take_along_axis(each, order, axis=1) for each in columns)), order

    def _score(self, histories: Histories, candidates: Candidates, kept: F32 | None = None) -> F32:
        """Scores of known rows; kept: an array for the features."""
        scores = np.empty(candidates.items.shape, np.float32)
        for start in range(0, len(candidates), CHUNK):
            chunk = slice(start, start + CHUNK)
            some = histories, candidates
            if len(candidates) > CHUNK:
                some = histories.take(chunk), candidates.take(chunk)
            built = features.columns(self._tables, *some, self.recent)
            scores[chunk] = self._scores(built[:, self._inputs])
            if kept is not None:
                kept[chunk] = np.swapaxes(built, 1, 2)
        ranker_net.leave_out(contiguous(candidates.items), scores)
        return scores

    def contributions(self, rows: F32) -> F32:
        """The loss of each row's score when each of its features [N, F] alone is set to its training mean: [N, F].

        0 for a feature that the net lacks.
        """
        known = rows[:, self._inputs]
        count, width = known.shape
        x = np.repeat(known[None], width + 1, axis=0)  # the last is as it was
        every = np.arange(width)
        x[every, :, every] = self._net.mean.numpy()[:, None]
        scores = self._scores(contiguous(x.reshape(-1, width).T[None])).reshape(width + 1, count)
        lost = np.zeros(rows.shape, np.float32)
        lost[:, self._inputs] = (scores[-1] - scores[:-1]).T
        return lost


def _inputs(net: int, built: int) -> slice | I64:
    """Which of the features a net reads. A net from before a source was added has no column for that source."""
    missing, every = built - net, np.arange(built)
    own = built - len(features.FEATURES)
    return np.delete(every, slice(built - own - missing, built - own)) if missing else slice(None)


def _restored(found: F32, order: I64 | None) -> F32:
    """Values of candidates in an order, at the places before."""
    if order is None:
        return found
    placed = np.empty_like(found)
    np.put_along_axis(placed, order.reshape(order.shape + (1,) * (found.ndim - 2)), found, axis=1)
    return placed
