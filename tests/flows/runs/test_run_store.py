"""The store of the records of runs of flows."""

from dataclasses import replace

import redis

from recsys.flow_names import FLOWS
from recsys.store.redis.run_store import RedisRunStore
from recsys.store.run_record import COMPLETED, RUNS_KEPT, RunFigures, RunRecord


def run(number, **fields):
    return RunRecord("batch", f"run-{number}", "trained", start=100.0 * number, limit=600.0, **fields)


def completed(number):
    return run(number, state=COMPLETED, end=100.0 * number + 10, figures=RunFigures(rows_out=7))


def test_the_newest_records_of_each_flow_are_kept(own_valkey_url):
    """The end of a run replaces its begin, and another flow has records of its own."""
    client, store = redis.Redis.from_url(own_valkey_url), RedisRunStore(own_valkey_url)
    client.flushall()
    for number in range(RUNS_KEPT + 3):
        store.write(run(number))
        store.write(completed(number))
    other = replace(run(0), flow="drain")
    store.write(other)
    client.hset("runs:drain", "later-version", b'{"flow": 1}')
    found = store.read()
    assert [*found] == [*FLOWS]
    assert found["batch"] == [completed(number) for number in range(RUNS_KEPT + 2, 2, -1)]
    assert found["drain"] == [other]
    assert store.find("batch", "run-0") is None
    store.close()
    client.close()
