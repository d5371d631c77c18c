"""Fit the ranker listwise on candidates of a generation whose tower and tables ended before the labels began."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from recsys import features
from recsys.ranker import RankerNet
from recsys.retriever import Retriever
from recsys.tables import ItemTables
from recsys.types import F32, I64, PAD
from training.config import RankerConfig
from training.log import Log
from training.watch import Progress, no_progress

CHUNK = 256

ORDERS = ("popularity_decayed", "tower", "covisit")
"""Features that give an order by themselves, for where examples are too few; the first wins a tie."""


def fit_ranker(
    log: Log,
    labelled: I64,
    retriever: Retriever,
    tables: ItemTables,
    config: RankerConfig,
    seed: int,
    progress: Progress = no_progress,
) -> tuple[RankerNet, str | None]:
    """Train on the events at positions `labelled` of `log`, each the one right answer among its candidates.

    Where fewer than `config.minimum` of them are found, the ranker orders by one feature, which is named.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    if len(labelled) > config.queries:
        labelled = np.sort(rng.choice(labelled, config.queries, replace=False))
    x, label, real = _examples(log, labelled, retriever, tables, progress)
    if len(label) < config.minimum:
        order = best_order(x, label, real)
        return order_by(order), order
    net = RankerNet()
    rows = x[real]
    net.mean.copy_(torch.from_numpy(rows.mean(axis=0)))
    net.deviation.copy_(torch.from_numpy(rows.std(axis=0) + 1e-3))
    _train(net, x, label, real, config, rng, progress)
    return net.eval(), None


def best_order(x: F32, label: I64, real: np.ndarray) -> str:
    """Of the orders one feature gives, that which puts most labels among the first ten; popularity where none does."""
    hits = {}
    for name in ORDERS:
        scores = np.where(real, x[..., features.FEATURES.index(name)], -np.inf)
        target = np.take_along_axis(scores, label[:, None], axis=1)
        hits[name] = int(((scores >= target).sum(axis=1) <= 10).sum())
    return max(ORDERS, key=lambda name: hits[name])


@torch.no_grad()
def order_by(feature: str) -> RankerNet:
    """A ranker that nothing taught: it orders by one feature."""
    net = RankerNet()
    for parameter in net.parameters():
        parameter.zero_()
    column = features.FEATURES.index(feature)
    # The net clamps what it standardises at 5, and every one of ORDERS stays far below 5 * 10.
    net.deviation[column] = 10
    net.out.weight[0, column] = 1
    return net.eval()


def _examples(
    log: Log, labelled: I64, retriever: Retriever, tables: ItemTables, progress: Progress
) -> tuple[F32, I64, np.ndarray]:
    """Features [Q, K, F], the label's place [Q] and what is real [Q, K], for events whose item is a candidate."""
    parts = []
    for start in range(0, len(labelled), CHUNK):
        events = labelled[start : start + CHUNK]
        histories = log.histories(events)
        candidates = retriever.retrieve(histories)
        hit = candidates.items == log.items[events][:, None]
        found = hit.any(axis=1)
        x = features.build(tables, histories.take(found), candidates.take(found))
        parts.append((x, hit[found].argmax(axis=1), candidates.items[found] != PAD))
        progress(0.5 * min(1.0, (start + CHUNK) / len(labelled)), "candidates")
    if not parts:
        return np.zeros((0, 1, len(features.FEATURES)), np.float32), np.zeros(0, np.int64), np.zeros((0, 1), bool)
    width = max(part[0].shape[1] for part in parts)

    def wide(array: np.ndarray) -> np.ndarray:
        padding = [(0, 0), (0, width - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
        return np.pad(array, padding)

    return (
        np.concatenate([wide(part[0]) for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([wide(part[2]) for part in parts]),
    )


def _train(
    net: RankerNet,
    x: F32,
    label: I64,
    real: np.ndarray,
    config: RankerConfig,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    steps = max(1, config.epochs * -(-len(label) // config.batch))
    optimizer = torch.optim.AdamW(net.parameters(), config.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.learning_rate,
        max(steps, 11),
        pct_start=0.1,  # divides by a tenth of them less one
    )
    net.train()
    done, mean = 0, 0.0
    for _ in range(config.epochs):
        order = rng.permutation(len(label))
        for start in range(0, len(order), config.batch):
            rows = order[start : start + config.batch]
            scores = net(torch.from_numpy(x[rows])).masked_fill(torch.from_numpy(~real[rows]), -torch.inf)
            loss = F.cross_entropy(scores, torch.from_numpy(label[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            done += 1
            mean = 0.98 * mean + 0.02 * float(loss.detach()) if done > 1 else float(loss.detach())
            progress(0.5 + 0.5 * done / steps, f"loss {mean:.3f}")
