"""The compiled network of the ranker, matrix products and time steps."""

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys.kernels import time_features
from recsys.model.ranker import RankerNet, compiled_net


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
@settings(max_examples=30, deadline=None)
def test_the_compiled_net_scores_as_the_trained_net(seed, count):
    """A candidate's score has the same bits whatever its place and the other candidates of the query."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    net = RankerNet().eval()
    net.mean[:], net.deviation[:] = torch.randn(len(net.mean)), torch.rand(len(net.mean)) + 0.1
    net.deviation[seed % len(net.mean)] = torch.inf  # a feature that never varied
    x = (rng.normal(size=(2, len(net.mean), count)) * 3).astype(np.float32)
    x[0, 0, : count // 9] = np.nan  # no rule says that features are finite
    scores = compiled_net(net)
    got = scores(x)
    with torch.inference_mode():
        expected = net(torch.from_numpy(np.swapaxes(x, 1, 2))).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    order = rng.permutation(count)
    np.testing.assert_array_equal(scores(x[..., order]), got[:, order])
    for few in (count // 2, max(count - 1, 0)):
        np.testing.assert_array_equal(scores(x[1:, :, :few]), got[1:, :few])


@given(st.floats(-1e12, 1e12) | st.sampled_from([0.0, 1.0, 2.0**20 - 1, 2.0**20, np.nextafter(2.0**20 - 1, 0)]))
@settings(deadline=None)
@example(np.inf)
@example(-np.inf)
@example(np.nan)
def test_a_span_has_one_step(seconds):
    """Compiled as by numpy: 2^s - 1 to 2^(s + 1) - 1 seconds, the last without an end; what is no number is none."""
    step = int(time_features.steps(np.array([seconds]))[0])
    assert time_features.step(seconds) == step
    passed = seconds if seconds > 0 else 0.0
    assert 2**step - 1 <= passed
    assert passed < 2 ** (step + 1) - 1 or step == time_features.STEPS - 1
