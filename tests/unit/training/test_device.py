"""Training on a GPU: what a machine without one can show of it, and the comparison where there is one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recsys.model.towers import Towers
from tests.flows.ring import log_of, quick, ring
from training.recipe import train
from training.towers import gradients
from training.towers.crops import Batch, Crops
from training.towers.optimizers import Optimizers, averaged


def step_on_meta_by_default(monkeypatch, precision=None) -> float:
    """The loss of a step of the towers; a tensor that names no device is made without data, and fails beside others."""
    monkeypatch.setattr(gradients, "one_thread_each", lambda: torch.set_default_device("meta"))
    if precision:
        monkeypatch.setattr(gradients, "mixed_precision", lambda device: torch.autocast(device.type, dtype=precision))
    torch.manual_seed(0)
    log, config = log_of(ring(users=60)), quick().tower
    towers = Towers(len(log.catalogue), len(log.catalogue.spec.tokens), 1, 16, 32, sparse=True)
    crop = next(Crops(log, config).epoch(np.random.default_rng(0)))
    batch = Batch.of(crop, torch.from_numpy(np.unique(log.items)).long(), config)
    steps = gradients.Gradients(towers, log, config.negatives, torch.device("cpu"))
    optimizers, average = Optimizers(towers, config.learning_rate, 100), averaged(towers)
    with torch.device("meta"):
        loss = steps.add(batch)
        optimizers.step()
        average.update_parameters(towers)
    steps.close()
    return loss


def test_a_step_makes_its_tensors_on_the_device_of_its_batch(monkeypatch):
    """No tensor of a step relies on the default device."""
    assert np.isfinite(step_on_meta_by_default(monkeypatch))


def test_matrix_products_in_bfloat16_give_the_loss(monkeypatch):
    """Mixed precision, here that of the CPU, changes the loss of a step by less than a hundredth."""
    whole, mixed = (step_on_meta_by_default(monkeypatch, precision) for precision in (None, torch.bfloat16))
    assert mixed != whole
    assert mixed == pytest.approx(whole, rel=0.01)


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
