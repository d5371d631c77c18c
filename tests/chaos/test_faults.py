"""Faults done to a running deployment under load: no request fails, and no answer mixes two generations.

`make chaos` does all of them, for longer, and prints the table.
"""

import pytest

from tests.chaos import faults
from tests.chaos.served import Served
from tests.chaos.slow import all_slow
from tests.redis_server import redis_server


@pytest.fixture(scope="module")
def world(pair, tmp_path_factory):
    """A deployment that serves the first."""
    with Served(tmp_path_factory.mktemp("chaos"), pair) as world:
        yield world


def holds(*outcomes):
    """Fail where something happened that should not."""
    for outcome in outcomes:
        assert outcome.passed, outcome


def test_twenty_promotes_and_rollbacks_mix_nothing(world):
    """Every answer is recomputed from the generation it names: items, scores and tower scores."""
    holds(faults.swaps(world))


PARTS = ("embeddings.npy", "towers.safetensors", "ranker.safetensors", "spec.json", "ids.data.npy", "smoke.scores.npy")


def test_a_flipped_bit_is_refused_while_the_old_one_serves(world):
    """In what retrieval, ranking and the gateway read; `make chaos` flips one in every part."""
    holds(*faults.damaged_parts(world, PARTS))


def test_what_stands_where_a_chunk_should_is_refused(world):
    """A missing one, a short one, one of another generation."""
    holds(*faults.spoiled_chunks(world))


def test_what_makes_no_sense_is_refused(world):
    """Whoever publishes it vouches for it with right hashes."""
    holds(*faults.senseless_generations(world))


def test_a_store_that_hangs_costs_history_and_nothing_else(world):
    """Answers come in time, say what they lack, and are whole when it goes on."""
    holds(faults.store_hangs(world, 3))


def test_a_store_that_is_killed_costs_history_and_nothing_else(world):
    """And is used again as soon as it is back."""
    holds(faults.store_gone(world, 4))


def test_a_store_that_loads_is_waited_for(world):
    """A restart with much to read."""
    holds(faults.store_loads(world, 200))


def test_a_store_that_comes_back_empty_is_told(world):
    """Answers say that the users' records are gone until somebody publishes."""
    holds(faults.store_emptied(world))


def test_a_full_store_takes_no_event_and_serves(world):
    """Nothing is lost in silence: the event's sender is told."""
    holds(faults.store_full(world))


def test_a_store_that_evicts_is_told(world):
    """Records that went are missed aloud."""
    holds(faults.store_evicts(world))


@pytest.mark.slow
def test_debians_redis_serves_as_well(pair, tmp_path):
    """Swaps, a kill and an empty return, on Redis 8 where the others run on Valkey."""
    binary = redis_server()
    if binary is None:
        pytest.skip("no redis-server, and none to unpack here")
    with Served(tmp_path, pair, binary) as world:
        holds(faults.swaps(world, 4), faults.store_gone(world, 2), faults.store_emptied(world))


@pytest.mark.slow
def test_parts_that_are_slow_cost_no_deadline(pair, tmp_path):
    """Retrieval, ranking and the store 200 ms later: slates all the same, that say what they did without."""
    holds(*all_slow(pair, tmp_path))
