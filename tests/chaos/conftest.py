"""A world for every test that breaks one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.served import Pair
from tests.chaos.world import World


@pytest.fixture(params=["valkey", pytest.param("redis", marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """An empty world on each of the servers."""
    url = request.getfixturevalue(f"own_{request.param}_url")
    world = World(url, tmp_path)
    world.empty()
    yield world
    world.unlimited()
    world.close()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Two generations of one world, to be served."""
    return Pair.make(tmp_path_factory.mktemp("pair"))
