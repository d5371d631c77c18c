"""Training on two processes of torchrun: the same model as one process, also where a process is killed in an epoch."""

import json
import subprocess
import sys
import time
from dataclasses import asdict

import numpy as np
import psutil
import pytest
import torch

from tests.flows.ring_dataset import log_of, quick, ring, write
from tests.servers.flow_environment import ROOT, flow_environment
from training.recipe import train

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SECONDS = 300
CONFIG = quick()
SETTINGS = [
    each
    for name, value in asdict(CONFIG).items()
    for field, one in (value.items() if isinstance(value, dict) else [("", value)])
    for each in ("--set", f"{name}.{field}={json.dumps(one)}" if field else f"{name}={json.dumps(one)}")
]


def started(home, *command, **environment):
    """The command on two processes, with its state under `home`."""
    return subprocess.Popen(
        [*TORCHRUN, *map(str, command)],
        cwd=ROOT,
        env=flow_environment(home, PYTHONPATH=str(ROOT), **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    """What a command printed; it must succeed. A command that hangs is ended with its ranks."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        raise
    assert process.returncode == 0, err
    return out


def kill_rank_1(torchrun):
    """Kill the process of rank 1 that trains: the newest, as `flows run` starts a process for its session."""
    children = psutil.Process(torchrun.pid).children(recursive=True)
    found = [each for each in children if each.environ().get("RANK") == "1"]
    max(found, key=lambda each: each.create_time()).kill()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A log whose training takes some seconds."""
    return write(tmp_path_factory.mktemp("data"), ring(users=300, strings=True))


@pytest.fixture(scope="module")
def on_two(data, tmp_path_factory):
    """The evaluation of a training on two processes."""
    home = tmp_path_factory.mktemp("two")
    ended(started(home, "-m", "training", "evaluate", "--data", data, *SETTINGS, "--json", home / "two.json"))
    return json.loads((home / "two.json").read_text())["rows"]


def test_the_gradients_of_two_ranks_are_those_of_one(tmp_path):
    """The sums over two halves of a batch are the gradients of the batch, and so are the ranker's weights."""
    ended(started(tmp_path, "-m", "tests.unit.training.processes.equal_gradients"))


def test_two_processes_train_as_good_a_model_as_one(on_two):
    """Recall and NDCG of the towers and of both stages are within two standard errors of one process."""
    alone = train(log_of(ring(users=300, strings=True)), CONFIG).evaluation.rows
    for row in ("tower", "two_stage"):
        for metric in ("recall@10", "ndcg@10"):
            error = np.hypot(alone[row][f"se_{metric}"], on_two[row][f"se_{metric}"])
            assert abs(alone[row][metric] - on_two[row][metric]) <= 2 * error


def epochs_in(folder, least=0):
    """The complete epochs in the folder's state of the towers, when there are at least so many."""
    deadline = time.monotonic() + SECONDS
    while not any(found := [torch.load(path)["epochs"] for path in folder.glob("fit-*.pt")]) or found[0] < least:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found[0]


def killed_and_resumed(process, home):
    """What a command prints whose rank 1 is killed after two complete epochs; the next state must have three."""
    epochs = epochs_in(home / "stages", least=2)
    kill_rank_1(process)
    assert epochs_in(home / "stages", least=epochs + 1) == epochs + 1
    return ended(process)


def test_a_killed_rank_changes_nothing_but_time(data, on_two, tmp_path):
    """All ranks start again after the last complete epoch when rank 1 is killed, and have the same metrics."""
    command = ("--max-restarts=1", "-m", "training", "evaluate", "--data", data, *SETTINGS)
    killed_and_resumed(started(tmp_path, *command, "--json", tmp_path / "metrics.json"), tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text())["rows"] == on_two


@pytest.mark.slow
def test_a_flow_continues_after_a_killed_rank(data, on_two, tmp_path, prefect_url):
    """`flows run` with a killed rank publishes the same model."""
    command = ("--max-restarts=1", "-m", "flows", "run", "--data", data, *SETTINGS, "--force", "--json")
    out = killed_and_resumed(started(tmp_path, *command, PREFECT_API_URL=prefect_url), tmp_path)
    assert json.loads(out)["evaluation"]["rows"] == on_two
