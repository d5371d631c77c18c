"""Item tables and records of users that Dask workers compute have the same bits as those of one process."""

import pytest
import torch

from recsys.environment import Environment
from recsys.model.features import width
from recsys.model.ranker import RankerNet
from recsys.model.towers import Towers
from training.export.user_records import RecordWork, packed_records
from training.fit.first_stage import FirstStage
from training.fit.item_tables import build_tables
from training.processes.engine import LOCAL, open_engine
from training.processes.shared_file import read_shared, shared_file

pytest.importorskip("distributed", reason="the extra dask")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home of the engine."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def engine(home):
    """Two workers, and parts of so few items and users that a small log has many."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("training.fit.neighbours.PAIRS", 2_000)
        patched.setattr("training.fit.fit_towers.ROWS", 20)
        patched.setattr("training.export.user_records.PART", 100)
        with open_engine(Environment(home, None, dask="2")) as opened:
            yield opened


def bits(tables, folder):
    folder.mkdir()
    tables.save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_tables_and_records_have_the_same_bits(tiny_world, engine, home, tmp_path):
    """The shared files are removed afterwards."""
    log = tiny_world[1]
    torch.manual_seed(0)
    towers = Towers(len(log.catalogue), len(log.catalogue.spec.tokens), 1, contexts=[3])
    expected, made = (build_tables(log, towers, each) for each in (LOCAL, engine))
    assert bits(made, tmp_path / "made") == bits(expected, tmp_path / "expected")
    stage = FirstStage.over(towers, expected, log.exclude_seen)
    work = RecordWork(log, stage, RankerNet(width(expected)).eval(), 10)
    records = [*packed_records(work)]
    assert [*packed_records(work, engine=engine)] == records
    assert len(records) == len(log.user_ids)
    assert not [*(home / "dask").glob("*.shared")]


def test_files_of_killed_processes_are_removed(tmp_path):
    """The file of a process that runs stays."""
    (tmp_path / "killed.shared").touch()
    with shared_file([1], tmp_path) as first, shared_file([2], tmp_path) as second:
        assert {*tmp_path.iterdir()} == {first, second}
        assert read_shared(first) == [1]
    assert not [*tmp_path.iterdir()]
