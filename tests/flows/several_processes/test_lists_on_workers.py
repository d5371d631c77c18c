"""The flow `batch` on Dask workers: the same lists as in one process, also if a worker is killed."""

import os
import signal
import time
from contextlib import closing
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from flows.list_parts.list_work import ListWork
from recsys.errors import GenerationError
from recsys.experiments import changes
from recsys.experiments.definition import checked
from recsys.store.redis.redis_experiments import RedisExperimentStore
from tests.flows.test_lists import batch
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


def start_experiment(url):
    """An arm of half of the users, whose lists have fewer candidates."""
    few = checked({"name": "look", "arms": {"few": {"share": 0.5, "candidates": 20}}})
    with closing(RedisExperimentStore(url)) as store:
        store.change(lambda document: changes.create(document, few, 1.0))
        store.change(lambda document: changes.start(document, "look", 2.0))
        store.change(lambda document: changes.ramp(document, "look", 1.0, 3.0))


def test_a_killed_worker_loses_and_repeats_no_user(shop, monkeypatch):
    """The file and the lists in the store are those of a run in one process, also the lists of an arm.

    Both runs are of the same moment, and have parts of so few users that a small shop has many.
    """
    now = time.time() + 10
    monkeypatch.setattr("flows.lists.time", SimpleNamespace(time=lambda: now, monotonic=time.monotonic))
    monkeypatch.setattr("flows.steps.list_making.USERS", 6)
    for user in NEW:
        shop.click(user, "drama-1", "comedy-2")
    start_experiment(shop.url)
    users, killer = ("0", "479", *NEW), WorkerKiller()

    def run(on_update=None):
        done = batch(shop, on_update=on_update)
        made = [*shop.listed(*users), *shop.listed(*users, variant="look.few")]
        return done, pq.read_table(done.parquet), [each and each.pack() for each in made]

    expected, rows, lists = run()
    monkeypatch.setenv("TANDEM_DASK", "2")
    done, rows_of_workers, lists_of_workers = run(killer)
    assert killer.killed is not None
    assert done.lists == expected.lists == tiny.USERS + len(NEW)
    assert done.arm_lists == expected.arm_lists > tiny.USERS / 3
    assert rows_of_workers.equals(rows)
    assert len(rows["user_id"].unique()) == done.lists
    assert lists_of_workers == lists
    assert None not in lists[: len(users)]


def test_a_worker_with_a_store_of_its_own_makes_no_lists(shop, monkeypatch):
    """A worker without REDIS_URL opens an embedded store, and may have the generation in its cache."""
    ListWork(shop.live, 1.0).open()
    monkeypatch.delenv("REDIS_URL")
    with pytest.raises(GenerationError, match=r"not in the store at unix://.*REDIS_URL of the flow"):
        ListWork(shop.live, 2.0).open()
