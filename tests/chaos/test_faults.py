"""Faults done to a running deployment under load: no request fails, and no answer mixes two generations.

`make chaos` does all of them, for longer, and prints the table.
"""

import pytest

from tests.chaos import faults
from tests.chaos.served import Served


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


PARTS = ("embeddings.npy", "ranker.safetensors", "ids.data.npy")


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


def test_a_store_that_comes_back_empty_is_told(world):
    """Answers say that the users' records are gone until somebody publishes."""
    holds(faults.store_emptied(world))


def test_a_full_store_takes_no_event_and_serves(world):
    """Nothing is lost in silence: the event's sender is told."""
    holds(faults.store_full(world))
