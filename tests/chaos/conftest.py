"""Two generations for every fault."""

import pytest

from tests.chaos.served import Pair


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """Two generations of one world."""
    return Pair.make(tmp_path_factory.mktemp("pair"))
