"""Train the weights of the ranker's network on examples: queries of the log, and slates that users were shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import OneCycleLR

from recsys.model.ranker import RankerNet
from recsys.types import F32, I64
from training.config import RankerConfig
from training.device import CPU, mixed_precision
from training.processes import process_group
from training.progress import StepProgress, no_step
from training.rank.examples import Examples, listwise_loss


def fit_net(
    sets: Sequence[Examples],
    config: RankerConfig,
    rng: np.random.Generator,
    device: torch.device = CPU,
    progress: StepProgress = no_step,
) -> RankerNet:
    """A net trained on `device`, on the CPU. sets: examples of one width each; a batch is of one set.

    The first set gives the mean and the deviation of the features: its candidates are those of serving. On several
    ranks each trains on its share of the examples.
    """
    ranks, net = process_group.world_size(), _standardised(sets[0])
    # The loss of a batch is a mean: the factor keeps the weights of a set beside those of the first.
    factors = [float(examples.weight.mean() / sets[0].weight.mean()) for examples in sets]

    def of_rank(rank: int) -> list[Examples]:
        """Each rank has as many rows, so a few rows are those of two ranks."""
        every = [np.arange(rank, ranks * process_group.share(len(each)), ranks) % len(each) for each in sets]
        return [examples.at(rows) for examples, rows in zip(sets, every, strict=True)]

    draws = rng.spawn(ranks)

    with process_group.together(lambda rank: (_train, (net, of_rank(rank), factors, config, draws[rank], device))):
        return _train(net, sets if ranks == 1 else of_rank(0), factors, config, rng, device, progress)


def _train(
    net: RankerNet,
    sets: Sequence[Examples],
    factors: Sequence[float],
    config: RankerConfig,
    rng: np.random.Generator,
    device: torch.device,
    progress: StepProgress = no_step,
) -> RankerNet:
    """Train the net on a rank's examples. factors: of the loss on each set."""
    net.to(device).train()
    model = net if process_group.world_size() == 1 else DistributedDataParallel(net)
    size = process_group.share(config.batch)
    steps = config.epochs * sum(-(-len(examples) // size) for examples in sets)
    optimizer = torch.optim.AdamW(net.parameters(), config.learning_rate, weight_decay=1e-3, fused=True)
    # The warm-up divides by a tenth of the steps less one.
    schedule = OneCycleLR(optimizer, config.learning_rate, max(steps, 11), pct_start=0.1)
    losses: list[float] = []
    for _ in range(config.epochs):
        for number, rows in _batches(sets, size, rng):
            optimizer.zero_grad()
            factor = factors[number] * _share_of_mean(sets[number].weight[rows])
            loss = factor * _loss(model, sets[number], rows, device)
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
    if len(sets) == 1:
        return batches
    return [batches[at] for at in process_group.broadcast(rng.permutation(len(batches)))]


def _share_of_mean(weights: F32) -> float:
    """The factor by which the mean over ranks, of which each is a weighted mean, is the weighted mean of the batch."""
    mine = float(weights.sum())
    return process_group.world_size() * mine / process_group.total(mine)


def _standardised(examples: Examples) -> RankerNet:
    """A net with new weights, and the mean and deviation of the features of the examples."""
    net = RankerNet(examples.x.shape[2])
    rows = examples.x[examples.real]
    net.mean.copy_(torch.from_numpy(rows.mean(axis=0)))
    # A column that is constant here trains no weight. With an infinite deviation its value never counts.
    varied = rows.min(axis=0) < rows.max(axis=0)
    net.deviation.copy_(torch.from_numpy(np.where(varied, rows.std(axis=0) + 1e-3, np.inf)))
    return net


def _loss(net: nn.Module, examples: Examples, rows: I64, device: torch.device) -> Tensor:
    part = examples.at(rows)
    x, answer, real, weight = (
        torch.from_numpy(array).to(device) for array in (part.x, part.answer, part.real, part.weight)
    )
    with mixed_precision(device):
        scores = net(x)
    if part.offset is not None:
        scores = scores + torch.from_numpy(part.offset).to(device)
    return listwise_loss(scores.float(), answer, real, weight)


@torch.inference_mode()
def scores(net: RankerNet, x: F32) -> F32:
    """The net's scores of features [..., F]: [...]."""
    found: F32 = net(torch.from_numpy(x)).numpy()
    return found
