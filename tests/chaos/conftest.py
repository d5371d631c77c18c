"""Fixtures of the chaos tests: a running service with two sets of trained models, and an empty Redis to publish to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.faults.drain import ALL_IMPRESSIONS
from tests.chaos.publishing_world import PublishingWorld
from tests.judged_load.served_pair import GenerationPair, ServedPair


@pytest.fixture
def world(own_valkey_url: str, tmp_path: Path) -> Iterator[PublishingWorld]:
    """An empty store and folder for publishers."""
    world = PublishingWorld(own_valkey_url, tmp_path)
    world.empty()
    yield world
    world.unlimited()
    world.close()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> GenerationPair:
    """Two generations of the tiny dataset."""
    return GenerationPair.make(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="session")
def served(pair: GenerationPair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPair]:
    """A deployment that serves the first generation of the pair.

    Its deadline allows for other work on the cores, and half the load of `make chaos` leaves room for it.
    """
    settings = ALL_IMPRESSIONS | {"TANDEM_DRAIN_SECONDS": "0.5", "TANDEM_DEADLINE_MS": "4000"}
    with ServedPair(tmp_path_factory.mktemp("served"), pair, **settings) as world:
        world.rate = 20.0
        yield world
