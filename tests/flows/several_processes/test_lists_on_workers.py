"""The flows `batch` and `item-lists` on Dask workers: the same lists as in one process, also if a worker is killed."""

import os
import signal
import time
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from tests.flows.test_lists import batch, item_lists
from tests.sample_data import tiny

distributed = pytest.importorskip("distributed", reason="the extra dask")

NEW = [f"new-{number}" for number in range(60)]


class WorkerKiller:
    """A display that kills a worker once, when the second of many parts of a step is done."""

    killed = None

    def __call__(self, update):
        if self.killed is None and update.note.startswith("part 2 of"):
            self.killed = min(distributed.default_client().run(os.getpid).values())
            os.kill(self.killed, signal.SIGKILL)


@pytest.fixture
def on_workers(shop, monkeypatch):
    """Run a flow in this process, then on two workers of which one is killed: two results and the rows of their files.

    Both runs are of the same moment, and have parts of so few users and items that a small shop has many.
    """
    now = time.time() + 10
    monkeypatch.setattr("flows.lists.time", SimpleNamespace(time=lambda: now, monotonic=time.monotonic))
    monkeypatch.setattr("flows.steps.list_making.USERS", 6)
    monkeypatch.setattr("flows.steps.list_making.ITEMS", 10)

    def run(flow):
        expected = flow(None)
        rows, killer = pq.read_table(expected.parquet), WorkerKiller()
        monkeypatch.setenv("TANDEM_DASK", "2")
        done = flow(killer)
        monkeypatch.delenv("TANDEM_DASK")
        assert killer.killed is not None
        return expected, done, rows, pq.read_table(done.parquet)

    return run


def test_a_killed_worker_loses_and_repeats_no_user(shop, on_workers):
    """The file and the lists in the store are those of a run in one process."""
    for user in NEW:
        shop.click(user, "drama-1", "comedy-2")
    lists = []

    def run(on_update):
        done = batch(shop, on_update=on_update)
        lists.append([made.pack() for made in shop.listed("0", "479", *NEW)])
        return done

    expected, done, rows, rows_of_workers = on_workers(run)
    assert done.lists == expected.lists == tiny.USERS + len(NEW)
    assert rows_of_workers.equals(rows)
    assert len(rows["user_id"].unique()) == done.lists
    assert lists[0] == lists[1]


def test_a_killed_worker_loses_no_item(shop, on_workers):
    """The file is that of a run in one process, without a hidden item."""
    shop.hide("drama-3")
    expected, done, rows, rows_of_workers = on_workers(item_lists)
    assert done.lists == expected.lists == len(shop.folder.tables()) - 1
    assert rows_of_workers.equals(rows)
