"""A training that is killed goes on, and ends where it would have ended."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from dataclasses import replace

import pytest
import torch

from tests.flows.ring import log_of, quick, ring
from training.towers.checkpoint import Checkpoints
from training.towers.fit_towers import fit_towers

KILLED = """
    import os, signal
    from pathlib import Path
    from dataclasses import replace
    import torch
    from tests.flows.ring import log_of, quick, ring
    from training.towers.checkpoint import Checkpoints
    from training.towers.fit_towers import fit_towers

    torch.set_num_threads(1)
    log, config = log_of(ring(users=60)), replace(quick().tower, epochs=6)
    judged = []

    def judge(towers):
        judged.append(0)
        if len(judged) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return -abs(len(judged) - 2)

    fit_towers(log, config, 7, judge=judge, checkpoint=Checkpoints(Path({folder!r})).of(log, config, 7, "test"))
"""


@pytest.fixture(autouse=True)
def one_thread():
    """Bits are compared, and the number of threads decides in which order sums are added up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def same(one, other) -> bool:
    """Whether two towers have the same bits."""
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_the_same_seed_gives_the_same_towers():
    """Two trainings are equal to the last bit, and another seed is another training."""
    log, config = log_of(ring(users=60)), replace(quick().tower, epochs=3)
    first, second, other = (fit_towers(log, config, seed).towers for seed in (1, 1, 2))
    assert same(first, second)
    assert not same(first, other)


def test_a_killed_training_ends_as_if_nothing_had_happened(tmp_path):
    """Killed with -9 inside its fourth epoch, it starts again after the third and gives the same towers."""
    log, config = log_of(ring(users=60)), replace(quick().tower, epochs=6)
    code = textwrap.dedent(KILLED).format(folder=str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    judged = []

    def judge(done: int):
        def score(_towers) -> float:
            judged.append(0)
            return -abs(done + len(judged) - 2)

        return score

    resumed = fit_towers(log, config, 7, judge=judge(3), checkpoint=Checkpoints(tmp_path).of(log, config, 7, "test"))
    assert len(judged) == min(config.epochs, 2 + config.patience) - 3
    judged.clear()
    whole = fit_towers(log, config, 7, judge=judge(0))
    assert resumed.epochs == whole.epochs == 2
    assert same(resumed.towers, whole.towers)


def test_a_checkpoint_of_something_else_is_not_taken(tmp_path):
    """Other data, another setting or another seed begins anew; so does a broken file, or one with more than tensors."""
    log, config = log_of(ring(users=60)), quick().tower
    checkpoints = Checkpoints(tmp_path)
    own = checkpoints.of(log, config, 1, "test")
    own.save({"x": torch.zeros(2), "done": 1})
    assert own.load()["done"] == 1
    for other in (
        checkpoints.of(log[:-1], config, 1, "test"),
        checkpoints.of(log, replace(config, id_dropout=0.3), 1, "test"),
        checkpoints.of(log, config, 2, "test"),
    ):
        assert other.load() is None
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:-5])
    assert own.load() is None
    torch.save({"x": tmp_path}, path)
    assert own.load() is None
    with zipfile.ZipFile(path, "w", strict_timestamps=False) as damaged:
        damaged.writestr("archive/data.pkl", b"\x80\x02a.")  # appends to a list that is not there: an IndexError
        damaged.writestr("archive/version", b"3\n")
    assert own.load() is None
    checkpoints.clear()
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_other_weights_begins_anew(tmp_path):
    """A checkpoint that a release with other weights left behind changes nothing in the result."""
    log, config = log_of(ring(users=60)), replace(quick().tower, epochs=1)
    checkpoint = Checkpoints(tmp_path).of(log, config, 1, "test")
    fit_towers(log, config, 1, checkpoint=checkpoint)
    state = checkpoint.load()
    state["best"]["user.nobody"] = torch.zeros(3)
    checkpoint.save(state)
    resumed = fit_towers(log, config, 1, checkpoint=checkpoint)
    assert same(resumed.towers, fit_towers(log, config, 1).towers)


def test_what_nobody_came_back_for_is_removed(tmp_path):
    """Checkpoints, and files that a kill left half written, go after a week; younger ones stay."""
    week = 7 * 86_400
    for name, age in (("old.pt", week + 60), ("old.123", week + 60), ("young.pt", week - 60)):
        path = tmp_path / f"towers-{name}"
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    Checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["towers-young.pt"]
