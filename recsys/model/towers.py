"""The two encoders. Knows no store and no serving: arrays in, arrays out.

The item tower turns an id and content into an embedding; an id it never trained on leaves the content alone. The
user tower encodes what a user did, not who they are: averages of the history's item embeddings at several decays, so
a new user and a new click work at once and the state updates in O(d) an event. Beside the
item an event is its type and the time since the one before; the query is the time since the newest, and what the
dataset's context columns say. Its hour and weekday are the ranker's alone (docs/decisions.md).
On MovieLens 1M (leave one out) six epochs with these times have recall@10/ndcg@10 .2788/.1616, eight without them
.2623/.1530.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from recsys.fresh_items.grown_column import table
from recsys.kernels import tower as kernel
from recsys.kernels.compiled import plain
from recsys.model import time_features
from recsys.model.feature_spec import NO_TOKEN
from recsys.types import CLOCK, CONTEXTS, F32, I32, Histories

DECAYS = (0.0, 0.6, 0.9, 0.98)
"""Weight kept by each step back in the history; 0 is the newest item alone."""

_USER = "user."
"""What the names of the user tower's weights begin with."""


class ItemTower(nn.Module):
    """Item embedding from an id row and content tokens: L2-normalised, [n, d]."""

    def __init__(self, items: int, tokens: int, dim: int, *, sparse: bool = False) -> None:
        super().__init__()
        self.ids = nn.Embedding(items, dim, sparse=sparse)
        self.content = nn.Embedding(tokens, dim, padding_idx=NO_TOKEN, sparse=sparse)
        nn.init.normal_(self.ids.weight, std=0.05)
        with torch.no_grad():
            self.content.weight.normal_(std=0.05)[NO_TOKEN] = 0

    def forward(self, rows: Tensor, content: Tensor, known: Tensor | None = None) -> Tensor:
        """rows [n] int64, content [n, C] int64, known [n] bool (False drops the id): [n, d]."""
        ids = self.ids(rows)
        if known is not None:
            ids = ids * known[:, None]
        return F.normalize(ids + self.from_content(content), dim=-1)

    def from_content(self, content: Tensor) -> Tensor:
        """Unnormalised content part, the mean of the tokens: [n, d]."""
        count = (content != NO_TOKEN).sum(1, keepdim=True).clamp(min=1)
        mean: Tensor = self.content(content).sum(1) / count
        return mean


class Past(NamedTuple):
    """A history as the user tower takes it, newest last, padded on the left.

    items: [B, L, D] item embeddings, zero where there is none. real: [B, L] bool. types, gaps: [B, L] int64, the
    event's type and the step of `recsys.model.time_features` from the event before it.
    """

    items: Tensor
    real: Tensor
    types: Tensor
    gaps: Tensor


class State(NamedTuple):
    """All that the user tower keeps of a history: decayed sums and weights, [B, N, D] and [B, N]."""

    sums: Tensor
    weights: Tensor


class UserTower(nn.Module):
    """User embedding from what a user did, how long ago, and the context in which it is asked.

    contexts: rows of each of the dataset's context columns, that of the unknown included.
    """

    decay: Tensor

    def __init__(self, dim: int, types: int, hidden: int = 384, contexts: Sequence[int] = ()) -> None:
        super().__init__()
        wide = dim * len(DECAYS)
        self.types = nn.Embedding(types, dim)
        self.gaps = nn.Embedding(time_features.STEPS + 1, dim)
        self.waits = nn.Embedding(time_features.STEPS + 1, wide)
        self.contexts = nn.ModuleList(nn.Embedding(rows, wide) for rows in contexts)
        self.nobody = nn.Parameter(torch.randn(wide) * 0.05)
        self.skip = nn.Linear(wide, dim)
        self.mlp = nn.Sequential(nn.Linear(wide, hidden), nn.GELU(), nn.Linear(hidden, dim))
        for embedding in (self.types, self.gaps, self.waits, *self.contexts):
            nn.init.normal_(embedding.weight, std=0.02)
        self.register_buffer("decay", torch.tensor(DECAYS), persistent=False)

    @staticmethod
    def sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
        """The arguments that make a tower for these weights."""
        columns = takewhile(state.__contains__, (f"contexts.{column}.weight" for column in count()))
        return {
            "dim": state["types.weight"].shape[1],
            "types": len(state["types.weight"]),
            "hidden": len(state["mlp.0.weight"]),
            "contexts": [len(state[name]) for name in columns],
        }

    def forward(self, past: Past, waits_B: Tensor, context_BC: Tensor) -> Tensor:
        """Embedding after the whole history, asked `waits` steps after its end, in `context`: [B, D]."""
        return self.read(self.remember(past), waits_B, context_BC)

    def remember(self, past: Past) -> State:
        """The state after a whole history."""
        steps = torch.arange(past.real.shape[1] - 1, -1, -1, device=past.real.device)
        weight_NBL = (self.decay[:, None] ** steps)[:, None, :] * past.real
        return State(torch.einsum("nbl,bld->bnd", weight_NBL, self._events(past)), weight_NBL.sum(-1).T)

    def update(self, state: State, event: Past) -> State:
        """The state after one more event, a history of length one: O(d), nothing is read again."""
        sums = state.sums * self.decay[:, None] + self._events(event)
        return State(sums, state.weights * self.decay + 1)

    def read(self, state: State, waits: Tensor, context: Tensor) -> Tensor:
        """The embedding that a state gives [..., D]; one without events gives that of a user who did nothing.

        waits: [...]. context: [..., C], as in `Histories`; the clock, and columns past the tower's, are not read.
        """
        mean = (state.sums / state.weights.clamp(min=1e-9)[..., None]).flatten(-2)
        somebody = state.weights[..., -1:] > 0
        wide = torch.where(somebody, mean, self.nobody) + self.waits(waits)
        for column, embedding in enumerate(self.contexts, CLOCK):
            wide = wide + embedding(context[..., column])
        user: Tensor = F.normalize(self.skip(wide) + self.mlp(wide), dim=-1)
        return user

    def every_prefix(self, past: Past, waits_BL: Tensor, context_BLC: Tensor) -> Tensor:
        """Embedding after each prefix of the history, each asked as in `forward`, all in one pass: [B, L, D]."""
        length = past.real.shape[1]
        at = torch.arange(length, device=past.real.device)
        steps = at[:, None] - at
        weight_NLL = torch.where(steps >= 0, self.decay[:, None, None] ** steps.clamp(min=0), 0.0)
        weights_BLN = torch.einsum("nij,bj->bin", weight_NLL, past.real.float())
        sums_BLND = torch.einsum("nij,bjd->bind", weight_NLL, self._events(past))
        return self.read(State(sums_BLND, weights_BLN), waits_BL, context_BLC)

    def _events(self, past: Past) -> Tensor:
        events: Tensor = (past.items + self.types(past.types) + self.gaps(past.gaps)) * past.real[..., None]
        return events


class Towers(nn.Module):
    """Both towers and the temperature they were trained with; sparse: gradients of the item tables name rows."""

    def __init__(
        self,
        items: int,
        tokens: int,
        types: int,
        dim: int = 64,
        hidden: int = 384,
        contexts: Sequence[int] = (),
        *,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        self.item = ItemTower(items, tokens, dim, sparse=sparse)
        self.user = UserTower(dim, types, hidden, contexts)
        self.log_temperature = nn.Parameter(torch.tensor(0.06).log())

    @property
    def temperature(self) -> Tensor:
        """Clamped: below .02 a few negatives carry the whole gradient, above .2 nothing separates."""
        return self.log_temperature.exp().clamp(0.02, 0.2)

    def save(self, path: Path) -> None:
        """Write the weights as safetensors."""
        save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, path)

    @classmethod
    def load(cls, path: Path) -> Towers:
        """Read weights that `save` wrote; sizes follow from the tensors."""
        state = load_file(path)
        items, dim = state["item.ids.weight"].shape
        tokens, user = len(state["item.content.weight"]), UserTower.sizes(_user_part(state))
        towers = cls(items, tokens, user["types"], dim, hidden=user["hidden"], contexts=user["contexts"])
        towers.load_state_dict(state)
        return towers.eval()


def _user_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The user tower's own among the weights of both."""
    return {name.removeprefix(_USER): weight for name, weight in state.items() if name.startswith(_USER)}


def load_user_tower(path: Path) -> UserTower:
    """The user tower alone of weights that `Towers.save` wrote: the item tower's are as large as the catalogue."""
    with safe_open(path, "pt") as file:
        state = _user_part({name: file.get_tensor(name) for name in file.keys() if name.startswith(_USER)})  # noqa: SIM118
    tower = UserTower(**UserTower.sizes(state))
    tower.load_state_dict(state)
    return tower.eval()


class UserEncoder:
    """The user tower in service: histories of item rows in, user embeddings out.

    `UserTower` itself spends most of a lone query's time on the way into and out of thirty operators
    (`python -m loadtests.bench.kernels`).
    """

    def __init__(self, tower: UserTower, embeddings: F32) -> None:
        """It is as the tower is now: what is trained later is another one's."""
        if len(tower.contexts) > CONTEXTS:  # a kernel would read on
            raise ValueError(f"The tower has {len(tower.contexts)} context columns; {CONTEXTS} is the most.")
        self._embeddings = table(embeddings)
        contexts = [_weight(each) for each in tower.contexts]
        sizes = np.array([len(each) for each in contexts], np.int64)
        of_contexts = np.zeros((len(contexts), sizes.max(initial=0), len(tower.nobody)), np.float32)
        for column, weight in enumerate(contexts):
            of_contexts[column, : len(weight)] = weight
        self._weights = kernel.Weights(
            types=_weight(tower.types),
            gaps=_weight(tower.gaps),
            waits=_weight(tower.waits),
            contexts=of_contexts,
            sizes=sizes,
            nobody=tower.nobody.detach().cpu().numpy().copy(),
        )
        self._layers = kernel.Layers(
            first=np.ascontiguousarray(np.concatenate([_weight(tower.mlp[0]), _weight(tower.skip)]).T),
            first_bias=np.concatenate([_weight(tower.mlp[0], "bias"), _weight(tower.skip, "bias")]),
            second=np.ascontiguousarray(_weight(tower.mlp[2]).T),
            second_bias=_weight(tower.mlp[2], "bias"),
        )

    def over(self, embeddings: F32) -> UserEncoder:
        """The same tower for histories that name rows of these embeddings."""
        other: UserEncoder = copy.copy(self)
        other._embeddings = table(embeddings)
        return other

    def encode(self, histories: Histories) -> F32:
        """The users of B histories as they are at the moment asked about: [B, d] float32, L2-normalised."""
        past = plain(histories.items), plain(histories.times), plain(histories.now)
        asked = plain(histories.types), plain(histories.context), CLOCK
        users = np.empty((len(histories), len(self._layers.second_bias)), np.float32)
        told = *self._weights, *self._layers, _powers(past[0].shape[1]), users
        unknown = kernel.encode(*self._embeddings, *past, *asked, *told)
        if unknown >= 0:  # a kernel would read on
            query, column = divmod(unknown, len(self._weights.sizes))
            row, rows = histories.context[query, CLOCK + column], self._weights.sizes[column]
            raise IndexError(f"Context column {column} has {rows} rows; row {row} was asked for.")
        return users


def _weight(layer: nn.Module, name: str = "weight") -> F32:
    """A layer's weight, as it is now."""
    weight: F32 = layer.get_parameter(name).detach().cpu().numpy().copy()
    return weight


@cache
def _powers(length: int) -> F32:
    """The weight of each place of a history at each decay: [N, L]."""
    return (np.array(DECAYS, np.float32)[:, None] ** np.arange(length - 1, -1, -1)).astype(np.float32)


class ItemEncoder:
    """The item tower in service: content in, the embeddings of items whose id it never trained on out."""

    def __init__(self, content: Tensor) -> None:
        """content: [tokens, D], the tower's embeddings of content tokens."""
        self._tower = ItemTower(1, *content.shape).eval()
        self._tower.content.weight = nn.Parameter(content, requires_grad=False)

    @classmethod
    def load(cls, path: Path) -> ItemEncoder:
        """Read what it needs of the weights that `Towers.save` wrote; the ids' table is not touched."""
        with safe_open(path, "pt") as file:
            return cls(file.get_tensor("item.content.weight"))

    @torch.inference_mode()
    def encode(self, content: I32) -> F32:
        """Embeddings of content rows [n, C]: [n, D] float32, L2-normalised, zero where no token is known."""
        rows, unknown = torch.zeros(len(content), dtype=torch.long), torch.zeros(len(content), dtype=torch.bool)
        embeddings: F32 = self._tower(rows, torch.from_numpy(content).long(), unknown).numpy()
        return embeddings
