"""One process of a host looks, the others take its word until somebody writes to a part."""

import os
import shutil

import pytest

from recsys.cache import GenerationCache
from recsys.errors import GenerationError
from recsys.generation import GenerationFolder
from recsys.proof import Proof
from recsys.store import MemoryStore
from tests import tiny


@pytest.fixture
def folder(tiny_world, tmp_path):
    """A copy to write to."""
    return GenerationFolder(shutil.copytree(tiny_world[0].path, tmp_path / "copy"))


@pytest.mark.parametrize("fault", ["", "Generation x can't be served: embeddings holds numbers that are not finite."])
def test_what_was_found_is_told(folder, fault):
    """To any other process that looks at the same folder."""
    assert Proof(folder).told() is None
    Proof(folder).note(fault)
    assert Proof(GenerationFolder(folder.path)).told() == fault


def test_a_part_that_was_written_to_since_is_looked_at_again(folder):
    """Whether its size changed or not, and also where somebody put its old time back."""
    Proof(folder).note("")
    part = folder.path / "age.npy"
    state, whole = part.stat(), part.read_bytes()
    part.write_bytes(whole[:-1] + b"?")
    assert Proof(folder).told() is None
    Proof(folder).note("")
    part.unlink()
    part.write_bytes(whole)
    os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert Proof(folder).told() is None or part.stat().st_ino == state.st_ino


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", '{"parts": {}, "fault": ""}'])
def test_what_is_no_note_proves_nothing(folder, text):
    """Then the folder is read."""
    (folder.path / ".proof").write_text(text)
    assert Proof(folder).told() is None


def test_a_generation_is_checked_once_on_a_host(tiny_world, tmp_path):
    """A second process neither hashes nor checks; one that makes no sense is refused by all, fetched by one."""
    store, checked = MemoryStore(), []
    generation = tiny.publish(tiny_world[0], store)

    def check(folder):
        checked.append(folder)
        raise GenerationError("It makes no sense.")

    for _ in range(3):
        with pytest.raises(GenerationError, match="no sense"):
            GenerationCache(tmp_path / "cache", store, check).fetch(generation)
    assert len(checked) == 1
