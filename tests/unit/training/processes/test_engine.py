"""The engine of a run: both engines give the same results, and a cluster that can't work gives a sentence."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.environment import Environment
from recsys.errors import DatasetError, SettingsError
from training.processes.engine import LOCAL, Cluster, open_engine

distributed = pytest.importorskip("distributed", reason="the extra dask")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """Two workers."""
    with open_engine(Environment(tmp_path_factory.mktemp("home"), None, dask="2")) as opened:
        yield opened


def square(number):
    if number == 13:
        raise DatasetError("13 is no number.")
    return number * number


def killed_twice(folder):
    """The process of a worker, which the first two calls kill."""
    if len(list(folder.iterdir())) < 2:
        (folder / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_a_worker_that_does_not_find_a_file_leads_to_the_local_engine(engine, tmp_path):
    """Files of this host alone are read in this process. Every process reaches a bucket."""
    assert engine.with_access_to(str(tmp_path)) is engine
    assert engine.with_access_to("s3://bucket/log") is engine
    assert engine.with_access_to(str(tmp_path / "missing")) is LOCAL


def test_a_lost_worker_costs_time_alone(engine, tmp_path):
    """Dask starts another worker and computes the part again."""
    [pid] = engine.map(killed_twice, [tmp_path])
    assert len({pid, os.getpid(), *(int(each.name) for each in tmp_path.iterdir())}) == 4


def test_a_lost_scheduler_is_a_sentence(tmp_path, monkeypatch):
    """Between two parts, and before a step."""
    monkeypatch.setattr("training.processes.engine.CONNECT_SECONDS", 1)
    cluster = distributed.LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address=None)
    with cluster, open_engine(Environment(tmp_path, None, dask=cluster.scheduler_address)) as engine:
        results = engine.map(square, range(20, 40))
        assert next(results) == 400
        cluster.close()
        with pytest.raises(SettingsError, match="The Dask scheduler was lost"):
            list(results)
        with pytest.raises(SettingsError, match="The Dask scheduler was lost"):
            list(engine.map_shared(pow, 2, range(3)))


@pytest.mark.parametrize(
    ("dask", "memory", "words"),
    [
        ("two", "", r"TANDEM_DASK .* is 'two'.*number of workers"),
        ("2", "much", "TANDEM_DASK_MEMORY is 'much'"),
        ("tcp://here:8786", "3GiB", "Set TANDEM_DASK to their number"),
    ],
)
def test_a_wrong_setting_is_a_sentence(dask, memory, words):
    """The sentence names the setting and what it takes."""
    with pytest.raises(SettingsError, match=words):
        Cluster.of(Environment(Path(), None, dask=dask, dask_memory=memory))


def test_without_the_setting_nothing_of_dask_is_imported():
    """Neither by the engine nor by reading a dataset."""
    imports = "import sys, training.processes.engine, training.read.dataset"
    code = f"{imports}; sys.exit(bool({{'dask', 'distributed'}} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
