"""Layers of a small net over sixteen candidates at once, and rows found behind a table's end."""

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys.kernels import spans
from recsys.kernels.layers import LANES, UNITS, layer, packed
from recsys.model import time_features
from recsys.model.ranker import FeatureMajorNet, RankerNet


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 3), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_layer_is_a_product(out, width, more, flat, seed):
    """Of any number of units and inputs, whatever stands behind both; the rest of what is written to stays."""
    rng = np.random.default_rng(seed)
    weight, given = rng.normal(size=(out, width)), rng.normal(size=(width + more, LANES)).astype(np.float32)
    bias = rng.normal(size=out).astype(np.float32)
    blocks = packed(weight.astype(np.float32), bias)
    got = np.full((len(blocks) * UNITS + 1, LANES), 7, np.float32)
    layer(blocks, given.reshape(-1) if flat else given, got.reshape(-1) if flat else got)
    np.testing.assert_allclose(got[:out], weight @ given[:width] + bias[:, None], rtol=1e-4, atol=1e-4)
    assert (got[-1] == 7).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
@settings(max_examples=30, deadline=None)
def test_the_net_says_of_a_candidate_what_the_trained_one_says(seed, count):
    """To the bit the same wherever it stands and whoever stands beside it, however many there are."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    net = RankerNet().eval()
    net.mean[:], net.deviation[:] = torch.randn(len(net.mean)), torch.rand(len(net.mean)) + 0.1
    net.deviation[seed % len(net.mean)] = torch.inf  # of a feature that never varied
    x = (rng.normal(size=(2, len(net.mean), count)) * 3).astype(np.float32)
    x[0, 0, : count // 9] = np.nan  # of which nobody says that it is small
    compiled_net = FeatureMajorNet(net)
    got = compiled_net.scores(x)
    with torch.inference_mode():
        expected = net(torch.from_numpy(np.swapaxes(x, 1, 2))).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    order = rng.permutation(count)
    np.testing.assert_array_equal(compiled_net.scores(x[..., order]), got[:, order])
    for few in (count // 2, max(count - 1, 0)):
        np.testing.assert_array_equal(compiled_net.scores(x[1:, :, :few]), got[1:, :few])


@given(st.floats(-1e12, 1e12) | st.sampled_from([0.0, 1.0, 2.0**20 - 1, 2.0**20, np.nextafter(2.0**20 - 1, 0)]))
@settings(deadline=None)
@example(np.inf)
@example(-np.inf)
@example(np.nan)
def test_a_span_has_one_step(seconds):
    """Compiled as by numpy: 2^s - 1 to 2^(s + 1) - 1 seconds, the last without an end; what is no number is none."""
    step = int(time_features.steps(np.array([seconds]))[0])
    assert spans.scaled(seconds, time_features.STEPS) == step
    passed = seconds if seconds > 0 else 0.0
    assert 2**step - 1 <= passed
    assert passed < 2 ** (step + 1) - 1 or step == time_features.STEPS - 1
