"""The cache of generations on a host's disk: fetching, verification, eviction, and errors of the disk."""

from __future__ import annotations

import os
import resource
import shutil

import pytest

from recsys.errors import GenerationError
from recsys.generation.cache import GenerationCache
from recsys.generation.manifest import MANIFEST, GenerationFolder
from recsys.generation.publisher import Publisher
from tests.sample_data import tiny
from training.untrained_generation import random_generation


@pytest.fixture
def store(empty_store, tmp_path):
    """A store with five generations, whose ids are not in the order of time."""
    for generation in ("g5", "g1", "g4", "g2", "g3"):
        Publisher(empty_store, tmp_path).publish(random_generation(tmp_path / "made", generation, 3_000, 64, 5))
    return empty_store


@pytest.fixture
def published(tiny_world, empty_store):
    """A store with one generation, and its id."""
    return empty_store, tiny.publish(tiny_world[0], empty_store)


def test_a_full_disk_is_reported(store, tmp_path):
    """The error names the folder, the cause and the fix; nothing of the attempt is left, and later it works."""
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


@pytest.mark.parametrize("name", ["../other", "..", "", "a/b", "a\0b", "\ufffd"])
def test_a_name_that_is_no_id_reaches_no_folder(empty_store, tmp_path, name):
    """A call may name any generation. A path as the name must not lead out of the cache."""
    (tmp_path / "other").mkdir()
    with pytest.raises(GenerationError, match="is no id of a generation"):
        GenerationCache(tmp_path / "cache", empty_store).fetch(name)
    assert (tmp_path / "other").exists()


def test_a_cached_generation_is_not_fetched_again_and_a_changed_one_is_refused(published, tiny_world, tmp_path):
    """A store that returns other bytes leaves nothing in the cache that could be taken for a generation."""
    store, generation = published
    cache = GenerationCache(tmp_path / "cache", store)
    assert cache.fetch(generation).manifest.id == generation
    store.write_part(generation, "embeddings.npy", b"x" * tiny_world[0].manifest.parts["embeddings.npy"].bytes)
    assert cache.fetch(generation).manifest.id == generation
    empty = tmp_path / "empty"
    with pytest.raises(GenerationError, match="embeddings"):
        GenerationCache(empty, store).fetch(generation)
    assert [path.name for path in empty.iterdir()] == [".lock"]


def test_a_damaged_copy_is_fetched_again(published, tmp_path):
    """A cut part or an empty manifest, as after a power cut, is replaced; a killed download is removed."""
    store, generation = published
    cache = GenerationCache(tmp_path, store, lambda folder: None)
    part = cache.fetch(generation).path / "embeddings.npy"
    part.write_bytes(part.read_bytes()[:-100])
    (tmp_path / f".{generation}-left").mkdir()
    cache.fetch(generation).verify()
    assert {path.name for path in tmp_path.iterdir()} == {generation, ".lock"}
    (tmp_path / generation / MANIFEST).write_text("")
    assert cache.fetch(generation).verify().id == generation


def test_a_part_written_since_its_verification_is_verified_again(tiny_world, tmp_path):
    """The note is invalid even after a write in place with the old size and the old time of change."""
    folder = GenerationFolder(shutil.copytree(tiny_world[0].path, tmp_path / "copy"))
    folder.note_verified()
    assert folder.is_verified
    part = folder.path / "age.npy"
    state = part.stat()
    with part.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert not folder.is_verified
