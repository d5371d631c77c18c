"""A world for every test that breaks one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.served import Pair
from tests.chaos.world import World


@pytest.fixture
def world(own_valkey_url: str, tmp_path: Path) -> Iterator[World]:
    """An empty world."""
    world = World(own_valkey_url, tmp_path)
    world.empty()
    yield world
    world.unlimited()
    world.close()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Two generations of one world, to be served."""
    return Pair.make(tmp_path_factory.mktemp("pair"))
