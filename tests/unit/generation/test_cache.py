"""The cache on a host's disk: what it keeps, and what it says when the disk takes no more."""

from __future__ import annotations

import resource

import pytest

from recsys.errors import GenerationError
from recsys.generation.cache import GenerationCache
from recsys.generation.publisher import Publisher
from recsys.store import MemoryStore
from training.untrained_generation import random_generation


@pytest.fixture
def store(tmp_path):
    """A store with five generations, whose ids are in no order of time."""
    store = MemoryStore()
    for generation in ("g5", "g1", "g4", "g2", "g3"):
        Publisher(store, tmp_path).publish(random_generation(tmp_path / "made", generation, 3_000, 64, 5))
    return store


def test_what_was_used_last_stays(store, tmp_path):
    """Three stay: by their last use here, not by ids, which tell the time of the clock that made them."""
    cache = GenerationCache(tmp_path / "cache", store)
    for generation in ("g5", "g1", "g4", "g5", "g2"):
        cache.fetch(generation)
    assert sorted(path.name for path in (tmp_path / "cache").glob("g*")) == ["g2", "g4", "g5"]


def test_a_disk_that_takes_no_more_is_a_sentence(store, tmp_path):
    """The folder, the system's word and what to do; nothing is left of the attempt, and later it works."""
    cache = GenerationCache(tmp_path / "cache", store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(GenerationError, match=r"cache.+ \(File too large\).+TANDEM_HOME"):
            cache.fetch("g1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]
    assert cache.fetch("g1").verify().id == "g1"


def test_a_folder_that_can_not_be_is_a_sentence(store, tmp_path):
    """Where a file stands in the way of the cache's folder, that is said like a full disk."""
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(GenerationError, match=r"can't be written into .+cache.+TANDEM_HOME"):
        GenerationCache(tmp_path / "cache", store).fetch("g1")


@pytest.mark.parametrize("name", ["../other", "..", ".", "", "a/b", "a\0b", "\ufffd"])
def test_a_name_that_is_no_id_reaches_no_folder(store, tmp_path, name):
    """A row of a call may name any generation. A path as the name must not lead out of the cache."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(GenerationError, match="is no id of a generation"):
        GenerationCache(tmp_path / "cache", store).fetch(name)
    assert (tmp_path / "other" / "file").exists()
