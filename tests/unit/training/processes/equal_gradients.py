"""Started by torchrun: the gradients and the ranker of several ranks are those of one rank, or an assertion fails."""

from dataclasses import replace

import numpy as np
import torch

from recsys.model.towers import Towers
from tests.flows.ring_dataset import log_of, quick, ring
from training.encode.interaction_log import Log
from training.fit.crops import Batch, Crops
from training.fit.gradients import Gradients
from training.processes import process_group
from training.rank.examples import Examples
from training.rank.fit_net import fit_net


def examples() -> Examples:
    """Queries with one answer among five candidates, of different weights."""
    rng = np.random.default_rng(0)
    x, answer = rng.normal(size=(40, 5, 3)).astype(np.float32), np.zeros((40, 5), bool)
    answer[np.arange(40), x[:, :, 0].argmax(axis=1)] = True
    return Examples(x, answer, np.ones((40, 5), bool), rng.uniform(0.5, 2, 40).astype(np.float32))


def net_of(rows: Examples) -> dict[str, torch.Tensor]:
    """The weights after three steps, each on all examples; without the bias, whose gradient is a rounding error."""
    torch.manual_seed(0)
    net = fit_net([rows], replace(quick().ranker, batch=40, epochs=3), np.random.default_rng(0))
    return {name: weight for name, weight in net.state_dict().items() if name != "out.bias"}


def batch_of(log: Log) -> Batch:
    """One crop of each user, with negatives."""
    (crop,) = Crops(log, replace(quick().tower, batch=60)).epoch(np.random.default_rng(0))
    return Batch.of(crop, torch.from_numpy(np.unique(log.items)).long(), quick().tower)


def gradients(batch: Batch) -> list[torch.Tensor]:
    """The gradients of every weight and the loss of a batch, of which each rank has every n-th crop."""
    torch.manual_seed(0)
    log = log_of(ring(users=60))
    towers = Towers(len(log.catalogue), len(log.catalogue.spec.tokens), 1, 16, 32, sparse=True)
    steps = Gradients(towers, log, quick().tower.negatives, torch.device("cpu"))
    loss = steps.add(batch.part(process_group.rank(), process_group.world_size()))
    steps.close()
    return [weight.grad.to_dense() for weight in towers.parameters()] + [torch.tensor(loss)]


def compare(batch: Batch, alone: list[torch.Tensor]) -> None:
    """Compare the gradients of the ranks with those of one rank."""
    torch.testing.assert_close(gradients(batch), alone, rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    batch = batch_of(log_of(ring(users=60)))
    alone, net = gradients(batch), net_of(examples())
    with process_group.joined() as runs:
        if runs:
            with process_group.together(lambda _: (compare, (batch, alone))):
                compare(batch, alone)
            torch.testing.assert_close(net_of(examples()), net, rtol=1e-3, atol=1e-5)
