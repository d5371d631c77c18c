"""One process of a host looks, the others take its word until somebody writes to a part."""

import os
import shutil

import pytest

from recsys.errors import GenerationError
from recsys.generation.cache import GenerationCache
from recsys.generation.manifest import MANIFEST, GenerationFolder
from recsys.generation.verification import Proof
from recsys.store import MemoryStore
from tests.sample_data import tiny


@pytest.fixture
def folder(tiny_world, tmp_path):
    """A copy to write to."""
    return GenerationFolder(shutil.copytree(tiny_world[0].path, tmp_path / "copy"))


def test_a_part_that_was_written_to_since_is_looked_at_again(folder):
    """Also where it was written in place, by bytes of the same number, and its old time was put back."""
    Proof(folder).note()
    part = folder.path / "age.npy"
    state = part.stat()
    with part.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert not Proof(folder).stands


def test_a_manifest_that_was_lost_is_fetched_again(tiny_world, tmp_path):
    """A power cut may leave a file without its bytes, and a proof beside it."""
    store = MemoryStore()
    generation = tiny.publish(tiny_world[0], store)
    cache = GenerationCache(tmp_path, store, lambda folder: None)
    (cache.fetch(generation).path / MANIFEST).write_text("")
    assert cache.fetch(generation).verify().id == generation


def test_a_generation_is_checked_once_on_a_host(tiny_world, tmp_path):
    """A second process neither hashes nor checks."""
    store, checked = MemoryStore(), []
    generation = tiny.publish(tiny_world[0], store)
    for _ in range(3):
        GenerationCache(tmp_path, store, checked.append).fetch(generation)
    assert len(checked) == 1


def test_a_fault_may_be_this_moments(tiny_world, tmp_path):
    """It is not noted: with memory or file handles again the same generation is served."""
    store, faults = MemoryStore(), ["Too many open files."]
    generation = tiny.publish(tiny_world[0], store)

    def check(folder):
        if faults:
            raise GenerationError(faults.pop())

    cache = GenerationCache(tmp_path, store, check)
    with pytest.raises(GenerationError, match="open files"):
        cache.fetch(generation)
    assert cache.fetch(generation).manifest.id == generation
