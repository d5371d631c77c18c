"""A deployment on several hosts, one of them cut off at a time; `python -m tests.network` does more, and measures."""

import pytest

from tests.chaos.served import Pair
from tests.network import faults
from tests.network.deployment import CLIENT, ROLES, Spread
from tests.network.hosts import Hosts, missing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Hosts that only these tests know."""
    if lacking := missing():
        pytest.skip(lacking)
    folder = tmp_path_factory.mktemp("network")
    with Hosts(["redis", *ROLES, CLIENT]) as hosts, Spread(folder, Pair.make(folder / "pair"), hosts) as world:
        yield world


@pytest.mark.parametrize("host", faults.STAGE)
def test_what_is_cut_off_is_done_without_and_comes_back(world, host):
    """No request fails or hangs, the answers name what is away and nothing else, and are whole again in seconds."""
    outcome = faults.measured(world, faults.cut, host)
    assert outcome.passed, outcome


def test_no_generation_is_adopted_while_a_host_can_not_have_it(world):
    """It is once the host is back: what a host holds it says on a board in Redis, wherever it is."""
    outcome = faults.measured(world, faults.promoted_while_cut)
    assert outcome.passed, outcome
