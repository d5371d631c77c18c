"""Publishing over a store in memory: what is refused before a generation can be named, and what a rerun mends."""

from __future__ import annotations

import asyncio

import pytest

from recsys.errors import GenerationError
from recsys.generation.publisher import Publisher
from recsys.store import MemoryStore
from recsys.store.ports import CHUNK
from training.untrained_generation import random_generation

DAMAGED = ["embeddings.npy", "spec.json", "user_records.data.npy", "user_ids.data.npy", "user_ids.offsets.npy"]
"""Parts that may be damaged on disk."""


@pytest.fixture
def folder(tmp_path):
    """A generation with a part of two chunks, and users in two hashes."""
    return random_generation(tmp_path / "made", "g1", 4_200, 64, 1_100, 100)


@pytest.fixture
def store():
    return MemoryStore()


def test_everything_is_there_afterwards(folder, store, tmp_path):
    """Parts and users come back as they stand in the folder, and the claim is free again."""
    manifest = Publisher(store, tmp_path).publish(folder)
    for name, part in manifest.stored_parts.items():
        assert b"".join(store.read_part("g1", name, part.bytes)) == (folder.path / name).read_bytes()
    ids, records = folder.users()
    assert store.read_records("g1", manifest.user_buckets, list(ids)) == [records.bytes_at(n) for n in range(1_100)]
    store.claim("g2")


@pytest.mark.parametrize("bit", [1, 128])
@pytest.mark.parametrize("part", DAMAGED)
def test_a_folder_that_is_not_what_its_manifest_says(folder, store, tmp_path, part, bit):
    """A flipped bit on the way to disk is found before the manifest is written, and nothing is left in the store."""
    flip(folder.path / part, bit)
    with pytest.raises(GenerationError, match=part.replace(".", r"\.")):
        Publisher(store, tmp_path).publish(folder)
    assert store.generations() == []
    assert nothing_of(store, folder)


@pytest.mark.parametrize("bit", [1, 128])
@pytest.mark.parametrize("part", DAMAGED)
@pytest.mark.parametrize("stored", ["whole", "damaged"])
def test_a_damaged_folder_mends_nothing(folder, store, tmp_path, part, bit, stored):
    """Nothing of a bad part gets over what is finished, were it to mend it, and the part is named."""
    manifest = Publisher(store, tmp_path).publish(folder)
    whole = everything(store)
    if stored == "damaged":
        store.write_part("g1", "embeddings.npy", b"x" * CHUNK)
        store.write_users("g1", manifest.user_buckets, {"user-7": b"of another"})
    before = everything(store)
    flip(folder.path / part, bit)
    with pytest.raises(GenerationError, match=part.replace(".", r"\.")):
        Publisher(store, tmp_path).publish(folder)
    assert store.read_manifest("g1") == manifest.to_json().encode()
    after = everything(store)
    assert after.keys() == whole.keys()
    assert [key for key, value in after.items() if value not in (whole[key], before[key])] == []


def test_a_smoke_test_tries_what_the_store_gives_and_has_the_last_word(folder, store, tmp_path):
    """It gets a copy fetched from the store, not the folder; what it refuses is in no store, and the copy goes."""
    tried = []

    def smoke(copy):
        tried.append(copy.path)
        assert copy.verify() == folder.manifest
        raise GenerationError("The first smoke query has no answer.")

    with pytest.raises(GenerationError, match="no answer"):
        Publisher(store, tmp_path / "trials", smoke).publish(folder)
    assert tried[0].parent == tmp_path / "trials"
    assert not tried[0].exists()
    assert store.read_manifest("g1") is None
    assert nothing_of(store, folder)


def test_a_rerun_writes_what_is_missing_alone(folder, tmp_path):
    """Chunks of the right length and whole hashes are kept; the first publish was cut short in the middle."""

    class Counting(MemoryStore):
        def __init__(self):
            super().__init__()
            self.written, self.cut = [], True

        def write_part(self, generation, name, data, **which):
            self.written.append(name)
            super().write_part(generation, name, data, **which)

        def write_users(self, *given):
            self.written.append("users")
            if self.cut:
                raise KeyboardInterrupt
            super().write_users(*given)

    store = Counting()
    with pytest.raises(KeyboardInterrupt):
        Publisher(store, tmp_path).publish(folder)
    assert len(store.written) == len(folder.manifest.stored_parts) + 1
    store.written, store.cut = [], False
    Publisher(store, tmp_path).publish(folder)
    assert store.written == ["users"]
    assert store.generations() == ["g1"]


@pytest.mark.parametrize("what", ["content", "length"])
def test_a_rerun_mends_what_is_damaged(folder, store, tmp_path, what):
    """A chunk of other bytes or another length, in a finished generation too, is put right; so is a user's record."""
    manifest = Publisher(store, tmp_path).publish(folder)
    size = manifest.parts["embeddings.npy"].bytes
    whole = (folder.path / "embeddings.npy").read_bytes()
    store.write_part("g1", "embeddings.npy", b"x" * (CHUNK - (what == "length")))
    store.write_users("g1", manifest.user_buckets, {"user-7": b"of another"})
    Publisher(store, tmp_path).publish(folder)
    assert b"".join(store.read_part("g1", "embeddings.npy", size)) == whole
    assert store.read_records("g1", manifest.user_buckets, ["user-7"]) == [folder.users()[1].bytes_at(7)]


def test_who_is_forgotten_meanwhile_is_not_brought_back(folder, tmp_path):
    """Between the writing of a record and its reading back, too; everybody else is there."""

    class Forgetting(MemoryStore):
        def write_users(self, *given):
            super().write_users(*given)
            asyncio.run(self.forget_user("user-7"))

    store = Forgetting()
    manifest = Publisher(store, tmp_path).publish(folder)
    there = store.read_records("g1", manifest.user_buckets, list(folder.users()[0]))
    assert [row for row, record in enumerate(there) if record is None] == [7]


def nothing_of(store, folder):
    """Whether the store holds no byte of a generation."""
    stored = store.stored_sizes(folder.manifest, store.claim("g1"))
    return not any(map(sum, stored.chunks.values())) and not sum(stored.records)


def everything(store):
    """Every byte the store holds of generations."""
    return store._chunks | store._records


def flip(path, bit):
    """Change one bit of a file's last byte."""
    data = bytearray(path.read_bytes())
    data[-1] ^= bit
    path.write_bytes(data)
