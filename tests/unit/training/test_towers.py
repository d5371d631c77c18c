"""The training of the towers: the loss, crops, devices, and a killed training that goes on."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch

from recsys.kernels import time_features
from recsys.model.towers import EmbeddedHistory, Towers
from recsys.types import CLOCK, CONTEXTS
from tests.flows.ring_dataset import log_of, quick, ring
from training.fit.fit_towers import fit_towers
from training.fit.gradients import Negatives, corrected_softmax
from training.recipe import train
from training.stage_files import StageFiles

KILLED = """
    import os, signal
    from pathlib import Path
    from dataclasses import replace
    import torch
    from tests.flows.ring_dataset import log_of, quick, ring
    from training.fit.fit_towers import fit_towers
    from training.stage_files import StageFiles

    torch.set_num_threads(1)
    log, config = log_of(ring(users=60)), replace(quick().tower, epochs=6)
    validated = []

    def validate(towers):
        validated.append(0)
        if len(validated) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return -abs(len(validated) - 2)

    fit_towers(log, config, 7, validate=validate, state=StageFiles(Path({folder!r})).state("test"))
"""


@pytest.fixture
def one_thread():
    """Bits are compared, and the number of threads decides the order of sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def same(one, other) -> bool:
    """Whether two towers have the same bits."""
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def random_past(batch: int, length: int, dim: int) -> EmbeddedHistory:
    """Histories of several lengths, one of them empty."""
    real = torch.ones(batch, length, dtype=torch.bool)
    real[1, : length // 2] = False
    real[2] = False
    items = torch.randn(batch, length, dim) * real[..., None]
    return EmbeddedHistory(
        items, real, torch.randint(4, real.shape), torch.randint(time_features.STEPS + 1, real.shape)
    )


def test_every_prefix_is_the_forward_pass_at_each_prefix():
    """Training computes in one pass what serving computes for each history."""
    torch.manual_seed(0)
    tower = Towers(50, 3, 4, 16, contexts=(8, 9, 8, 8)).user.eval()
    past, waits = random_past(3, 12, 16), torch.randint(time_features.STEPS + 1, (3, 12))
    context = torch.randint(8, (3, 12, CLOCK + CONTEXTS))
    with torch.no_grad():
        together = tower.every_prefix(past, waits, context)
        for end in range(1, 13):
            alone = tower(EmbeddedHistory(*(part[:, :end] for part in past)), waits[:, end - 1], context[:, end - 1])
            torch.testing.assert_close(together[:, end - 1], alone, atol=1e-5, rtol=1e-4)


def test_the_loss_and_its_gradient_are_the_plain_softmax():
    """Loss and gradients equal one cross entropy with corrected logits.

    Masked are negatives that are targets, and those that begin later.
    """
    torch.manual_seed(0)
    users, positives, items = torch.randn(1300, 8), torch.randn(1300, 8), torch.randn(40, 8)
    temperature, weights = torch.tensor(0.3), torch.rand(1300)
    targets, rows, expected = torch.randint(60, (1300,)), torch.randint(60, (40,)), torch.rand(40) + 0.1
    times, begins = torch.rand(1300), torch.rand(40)
    leaves = [tensor.requires_grad_() for tensor in (users, positives, items, temperature)]
    negatives = Negatives(rows, items, expected, begins)
    ours = corrected_softmax(users, positives, targets, times, weights, negatives, temperature)
    others = users @ items.T / temperature - expected.log()
    others = others.masked_fill((targets[:, None] == rows) | (times[:, None] < begins), -torch.inf)
    logits = torch.cat([(users * positives).sum(1, keepdim=True) / temperature, others], dim=1)
    losses = torch.nn.functional.cross_entropy(logits, torch.zeros(1300, dtype=torch.long), reduction="none")
    plain = (losses * weights).sum() / weights.sum()
    torch.testing.assert_close(ours, plain)
    for mine, theirs in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(plain, leaves), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no CUDA GPU here: training on one is not tested.")
def test_a_gpu_trains_as_well_as_the_cpu():
    """Recall of the towers and of both stages is within two standard errors of the CPU's; the result is on the CPU."""
    log = log_of(ring(users=400))
    on_cpu, on_gpu = (train(log, replace(quick(), device=device)) for device in ("cpu", "cuda"))
    for row in ("tower", "two_stage"):
        one, other = (trained.evaluation.rows[row] for trained in (on_cpu, on_gpu))
        error = np.hypot(one["se_recall@10"], other["se_recall@10"])
        assert abs(one["recall@10"] - other["recall@10"]) <= 2 * error
    assert {parameter.device.type for parameter in on_gpu.stage.towers.parameters()} == {"cpu"}
    assert {parameter.device.type for parameter in on_gpu.net.parameters()} == {"cpu"}


def test_a_killed_training_has_the_result_of_an_uninterrupted_one(tmp_path, one_thread):
    """Killed with -9 inside its fourth epoch, it continues after the third and gives the same towers, bit for bit."""
    log, config = log_of(ring(users=60)), replace(quick().tower, epochs=6)
    code = textwrap.dedent(KILLED).format(folder=str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    validated = []

    def validation(done: int):
        def score(_towers) -> float:
            validated.append(0)
            return -abs(done + len(validated) - 2)

        return score

    resumed = fit_towers(log, config, 7, validate=validation(3), state=StageFiles(tmp_path).state("test"))
    assert len(validated) == min(config.epochs, 2 + config.patience) - 3
    validated.clear()
    uninterrupted = fit_towers(log, config, 7, validate=validation(0))
    assert resumed.epochs == uninterrupted.epochs == 2
    assert same(resumed.towers, uninterrupted.towers)
    assert not same(resumed.towers, fit_towers(log, config, 8, validate=validation(0)).towers)
