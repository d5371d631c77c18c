"""The ranker: a small DCN-v2 over the shared features, trained listwise.

Wang et al., "DCN V2", WWW 2021: cross layers x_{l+1} = x_0 * (W x_l + b) + x_l beside an MLP.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recsys.fresh_items.fresh_tables import Grower
from recsys.fresh_items.put_items import Latest, PutItems
from recsys.generation.item_tables import ItemTables
from recsys.generation.manifest import RANKER, GenerationFolder
from recsys.kernels import net as kernel
from recsys.kernels.compiled import plain
from recsys.kernels.layers import packed
from recsys.model import features
from recsys.types import F32, I64, PAD, Candidates, Histories

CROSS_LAYERS = 2
BOUND = 5.0
"""Deviations from the mean that a feature may have."""

CHUNK = 16
"""Queries whose features are built at once: 1.7 MB of them."""


class RankerNet(nn.Module):
    """Features [..., F] to a score [...]; standardises with the mean and deviation it was trained with."""

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
        """Read weights that `save` wrote; sizes follow from the tensors."""
        state = load_file(path)
        net = cls(len(state["mean"]), len(state["deep.0.weight"]))
        net.load_state_dict(state)
        return net.eval()


class FeatureMajorNet:
    """The net as serving runs it, a row a feature: all layers of sixteen candidates, then of the next.

    `RankerNet` itself takes nearly twice as long (`python -m loadtests.bench.kernels`): its arrays leave the cache on
    their way from one operator to the next.
    """

    def __init__(self, net: RankerNet) -> None:
        crosses, deep = [_weights(layer) for layer in net.cross], [_weights(net.deep[at]) for at in (0, 2)]
        # The first cross layer and the first of the others read the same rows: one product for both.
        first = (np.concatenate(pair) for pair in zip(crosses[0], deep[0], strict=True))
        self._weights = kernel.Weights(
            mean=net.mean.numpy().copy(),
            scale=1 / net.deviation.numpy(),
            first=packed(*first),
            crosses=np.stack([packed(*layer) for layer in crosses[1:]]),
            deep=packed(*deep[1]),
            out=packed(*_weights(net.out)),
        )

    def scores(self, x: F32) -> F32:
        """Scores [B, K] of features [B, F, K]."""
        found = np.empty((len(x), x.shape[2]), np.float32)
        kernel.scores(plain(x), *self._weights, np.float32(BOUND), found)
        return found


def _weights(layer: nn.Module) -> tuple[F32, F32]:
    """Weight [out, in] and bias [out]."""
    assert isinstance(layer, nn.Linear)
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


class Ranker:
    """Scores candidates of one generation."""

    def __init__(self, net: RankerNet, tables: ItemTables, grower: Grower | None = None) -> None:
        """grower: needed by `with_items` alone."""
        self._net, self._width = net.eval(), len(net.mean)
        self._scores = FeatureMajorNet(net).scores
        self._tables = tables
        self._grown = Latest(lambda puts: Ranker(net, grower.grow(puts))) if grower else None

    @classmethod
    def load(cls, folder: GenerationFolder, tables: ItemTables | None = None) -> Ranker:
        """The ranker of a generation that `folder.verify` accepted; tables: in place of the folder's own."""
        tables = tables or folder.tables()
        return cls(RankerNet.load(folder.path / RANKER), tables, Grower.load(folder, tables))

    def with_items(self, puts: PutItems) -> Ranker:
        """The ranker of the generation and of the items put since; itself where none was."""
        return self._grown.of(puts) if self._grown and len(puts) else self

    def score(self, histories: Histories, candidates: Candidates) -> F32:
        """Ranker scores [B, K] float32, -inf where the candidate is PAD or no item here.

        Rows of a history that are no item here are as if they had not happened.
        """
        histories, candidates, order = self._known(histories, candidates)
        return _placed(self._score(histories, candidates), order)

    def features_and_scores(self, histories: Histories, candidates: Candidates) -> tuple[F32, F32]:
        """What the net is given of candidates, [B, K, F] float32, zero where one is PAD or no item; and `score`."""
        histories, candidates, order = self._known(histories, candidates)
        built = np.empty((*candidates.items.shape, len(features.FEATURES)), np.float32)
        scores = self._score(histories, candidates, built)
        return _placed(built, order), _placed(scores, order)

    def _known(self, histories: Histories, candidates: Candidates) -> tuple[Histories, Candidates, I64 | None]:
        """What is an item here, of both; with the order of the candidates where those that are none went last."""
        if not self._tables.knows_all(histories.items):
            histories = histories.only(self._tables.knows(histories.items))
        if self._tables.knows_all(candidates.items):
            return histories, candidates, None
        named = self._tables.knows(candidates.items)
        order = np.argsort(~named, axis=1, kind="stable")
        columns = np.where(named, candidates.items, PAD), candidates.tower, candidates.sources
        return histories, Candidates(*(np.take_along_axis(each, order, axis=1) for each in columns)), order

    def _score(self, histories: Histories, candidates: Candidates, kept: F32 | None = None) -> F32:
        """Scores of what is known; kept: where the features go that they are of."""
        scores = np.empty(candidates.items.shape, np.float32)
        for start in range(0, len(candidates), CHUNK):
            chunk = slice(start, start + CHUNK)
            some = histories, candidates
            if len(candidates) > CHUNK:
                some = histories.take(chunk), candidates.take(chunk)
            built = features.columns(self._tables, *some)
            # A net from before a source was added has no column for that source.
            scores[chunk] = self._scores(built[:, : self._width])
            if kept is not None:
                kept[chunk] = np.swapaxes(built, 1, 2)
        kernel.leave_out(plain(candidates.items), scores)
        return scores

    @torch.inference_mode()
    def contributions(self, row: F32) -> F32:
        """What the score of one candidate's features [F] loses when each alone is set to its training mean: [F].

        0 of a feature that the net does not have.
        """
        x = torch.from_numpy(np.repeat(row[None, : self._width], self._width + 1, axis=0))
        places = torch.arange(self._width)
        x[places, places] = self._net.mean
        scores = self._net(x)
        lost = np.zeros(len(row), np.float32)
        lost[: self._width] = (scores[-1] - scores[:-1]).numpy()
        return lost


def _placed(found: F32, order: I64 | None) -> F32:
    """What was found of candidates in an order, where they stood before."""
    if order is None:
        return found
    placed = np.empty_like(found)
    np.put_along_axis(placed, order.reshape(order.shape + (1,) * (found.ndim - 2)), found, axis=1)
    return placed
