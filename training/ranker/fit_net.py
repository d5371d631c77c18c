"""Train the weights of the ranker's network on examples: queries of the log, and slates that users were shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import OneCycleLR

from recsys.model.ranker import RankerNet
from recsys.types import I64
from training.config import RankerConfig
from training.device import CPU, mixed_precision
from training.progress import StepProgress, no_step
from training.ranker.examples import Examples, listwise_loss


def fit_net(
    sets: Sequence[Examples],
    config: RankerConfig,
    rng: np.random.Generator,
    device: torch.device = CPU,
    progress: StepProgress = no_step,
) -> RankerNet:
    """A net trained on `device`, on the CPU. sets: examples of one width each; a batch is of one set.

    The first set gives the mean and the deviation of the features: its candidates are those of serving.
    """
    net = _standardised(sets[0]).to(device).train()
    # The loss of a batch is a mean: the factor keeps the weights of a set beside those of the first.
    factors = [float(examples.weight.mean() / sets[0].weight.mean()) for examples in sets]
    steps = config.epochs * sum(-(-len(examples) // config.batch) for examples in sets)
    optimizer = torch.optim.AdamW(net.parameters(), config.learning_rate, weight_decay=1e-3, fused=True)
    # The warm-up divides by a tenth of the steps less one.
    schedule = OneCycleLR(optimizer, config.learning_rate, max(steps, 11), pct_start=0.1)
    losses: list[float] = []
    for _ in range(config.epochs):
        for number, rows in _batches(sets, config.batch, rng):
            optimizer.zero_grad()
            loss = factors[number] * _loss(net, sets[number], rows, device)
            loss.backward()
            clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            progress(0.5 + 0.5 * len(losses) / steps, loss=float(np.mean(losses[-50:])))
    return net.cpu().eval()


def _batches(sets: Sequence[Examples], size: int, rng: np.random.Generator) -> list[tuple[int, I64]]:
    """Every example once, in batches in random order: the number of the set, and its rows."""
    batches = []
    for number, examples in enumerate(sets):
        order = rng.permutation(len(examples))
        batches += [(number, np.sort(order[start : start + size])) for start in range(0, len(order), size)]
    return batches if len(sets) == 1 else [batches[at] for at in rng.permutation(len(batches))]


def _standardised(examples: Examples) -> RankerNet:
    """A net with new weights, and the mean and deviation of the features of the examples."""
    net = RankerNet(examples.x.shape[2])
    rows = examples.x[examples.real]
    net.mean.copy_(torch.from_numpy(rows.mean(axis=0)))
    # A column that is constant here trains no weight. With an infinite deviation its value never counts.
    varied = rows.min(axis=0) < rows.max(axis=0)
    net.deviation.copy_(torch.from_numpy(np.where(varied, rows.std(axis=0) + 1e-3, np.inf)))
    return net


def _loss(net: RankerNet, examples: Examples, rows: I64, device: torch.device) -> Tensor:
    part = examples.at(rows)
    x, answer, real, weight = (
        torch.from_numpy(array).to(device) for array in (part.x, part.answer, part.real, part.weight)
    )
    with mixed_precision(device):
        scores = net(x)
    if part.offset is not None:
        scores = scores + torch.from_numpy(part.offset).to(device)
    return listwise_loss(scores.float(), answer, real, weight)
