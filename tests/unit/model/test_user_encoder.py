"""The compiled user encoder of serving, compared with the torch tower of training."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.model.towers import UserTower
from recsys.model.user_encoder import UserEncoder
from recsys.reference import encode
from recsys.types import CLOCK, CONTEXTS, Histories


def tower_of(rng, dim, types, contexts):
    """A tower whose weights all have an effect."""
    torch.manual_seed(int(rng.integers(2**31)))
    tower = UserTower(dim, types, hidden=24, contexts=contexts)
    with torch.no_grad():
        for weight in tower.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return tower


def histories(rng, batch, items):
    """Histories of all lengths, with unknown types and times out of order."""
    past = Histories.empty(rng.random(batch) * 1e7 + 1.7e9)
    for query in range(batch):
        length = int(rng.choice([0, 1, 2, 50, 100, 130]))
        times = rng.random(length) * 1e7 + 1.7e9
        rows = rng.integers(0, items, length).astype(np.int32)
        past.put(query, rows, times, rng.integers(0, 9, length).astype(np.uint8))
    past.context[:] = rng.integers(0, 3, (batch, CLOCK + CONTEXTS))
    return past


@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 16, 64]), st.integers(1, 5), st.integers(0, CONTEXTS))
@settings(max_examples=60, deadline=None)
def test_the_encoder_equals_the_tower(seed, dim, batch, contexts):
    """For any histories and contexts."""
    rng = np.random.default_rng(seed)
    tower = tower_of(rng, dim, 3, [3] * contexts)
    embeddings = rng.normal(size=(40, dim)).astype(np.float32)
    past = histories(rng, batch, len(embeddings))
    got = UserEncoder(tower, embeddings).encode(past)
    np.testing.assert_allclose(got, encode(tower, embeddings, past), rtol=0, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-5)


def test_a_user_is_the_same_in_any_batch():
    """To the last bit, which decides the order of two nearly equal candidates."""
    rng = np.random.default_rng(4)
    torch.manual_seed(4)
    encoder = UserEncoder(UserTower(64, 4, contexts=[3]), rng.normal(size=(40, 64)).astype(np.float32))
    past = histories(rng, 33, 40)
    together = encoder.encode(past)
    for size in (1, 2, 3, 4, 5, 8, 16):
        for start in range(0, 32, size):
            some = slice(start, start + size)
            columns = past.items, past.times, past.types, past.now, past.context
            np.testing.assert_array_equal(encoder.encode(Histories(*(each[some] for each in columns))), together[some])


def test_a_context_that_the_tower_does_not_have_is_refused():
    """The kernel checks no bounds."""
    rng = np.random.default_rng(3)
    encoder = UserEncoder(tower_of(rng, 16, 3, [3]), rng.normal(size=(40, 16)).astype(np.float32))
    past = histories(rng, 2, 40)
    past.context[1, CLOCK] = 3
    with pytest.raises(IndexError, match="row 3"):
        encoder.encode(past)
