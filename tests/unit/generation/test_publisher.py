"""Publishing into a store: damaged generations are refused, and a second run repairs the store."""

from __future__ import annotations

import pytest
import redis

from recsys.errors import GenerationError
from recsys.generation.publisher import Publisher
from recsys.store import RedisGenerationStore
from recsys.store.stored_types import CHUNK
from tests.servers.store_server import on_users
from training.untrained_generation import random_generation

DAMAGED = ["embeddings.npy", "spec.json", "user_records.data.npy", "user_ids.data.npy", "user_ids.offsets.npy"]
"""Parts that the tests damage on disk."""


@pytest.fixture
def folder(tmp_path):
    """A generation with a part of two chunks, and users in two buckets."""
    return random_generation(tmp_path / "made", "g1", 4_200, 64, 1_100, 100)


@pytest.fixture
def store(empty_store):
    return empty_store


@pytest.mark.parametrize("part", DAMAGED)
def test_a_damaged_folder_overwrites_nothing(folder, store, empty_url, tmp_path, part):
    """No byte of a damaged part replaces a stored byte, whole or damaged, and the error names the part."""
    manifest = Publisher(store, tmp_path).publish(folder)
    whole = before = everything(empty_url)
    flip(folder.path / part)
    for stored in ("whole", "damaged"):
        if stored == "damaged":
            store.write_part("g1", "embeddings.npy", b"x" * CHUNK)
            store.write_users("g1", manifest.user_buckets, {"user-7": b"of another"})
            before = everything(empty_url)
        with pytest.raises(GenerationError, match=part.replace(".", r"\.")):
            Publisher(store, tmp_path).publish(folder)
        assert store.read_manifest("g1") == manifest.to_json().encode()
        after = everything(empty_url)
        assert after.keys() == whole.keys()
        assert [key for key, value in after.items() if value not in (whole[key], before[key])] == []


def test_the_check_reads_the_stored_copy_and_can_refuse_it(folder, store, tmp_path):
    """It gets a copy from the store and not the folder. A refused generation and its copy are removed."""
    tried = []

    def check(copy):
        tried.append(copy.path)
        assert copy.verify() == folder.manifest
        raise GenerationError("The first smoke query has no answer.")

    with pytest.raises(GenerationError, match="no answer"):
        Publisher(store, tmp_path / "trials", check).publish(folder)
    assert tried[0].parent == tmp_path / "trials"
    assert not tried[0].exists()
    assert store.read_manifest("g1") is None
    assert nothing_of(store, folder)


def test_a_second_run_writes_only_what_is_missing(folder, empty_url, tmp_path):
    """Chunks of the right length and whole buckets are kept after the first publish was interrupted."""

    class Counting(RedisGenerationStore):
        def __init__(self):
            super().__init__(empty_url)
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
    store.close()


@pytest.mark.parametrize("what", ["content", "length"])
def test_a_second_run_repairs_the_store(folder, store, tmp_path, what):
    """A chunk of other bytes or another length, and a wrong record, are replaced in a finished generation too."""
    manifest = Publisher(store, tmp_path).publish(folder)
    size = manifest.parts["embeddings.npy"].bytes
    whole = (folder.path / "embeddings.npy").read_bytes()
    store.write_part("g1", "embeddings.npy", b"x" * (CHUNK - (what == "length")))
    store.write_users("g1", manifest.user_buckets, {"user-7": b"of another"})
    Publisher(store, tmp_path).publish(folder)
    assert b"".join(store.read_part("g1", "embeddings.npy", size)) == whole
    assert store.read_records("g1", manifest.user_buckets, ["user-7"]) == [folder.users()[1].bytes_at(7)]


def test_a_user_deleted_meanwhile_is_not_restored(folder, empty_url, tmp_path):
    """The user is deleted between the write and the read of a record. All other records are there."""

    class Forgetting(RedisGenerationStore):
        def write_users(self, *given):
            super().write_users(*given)
            on_users(empty_url, lambda users: users.forget_user("user-7"))

    store = Forgetting(empty_url)
    manifest = Publisher(store, tmp_path).publish(folder)
    there = store.read_records("g1", manifest.user_buckets, list(folder.users()[0]))
    assert [row for row, record in enumerate(there) if record is None] == [7]
    store.close()


def nothing_of(store, folder):
    """Whether the store holds no byte of a generation."""
    stored = store.stored_sizes(folder.manifest, store.claim("g1", folder.manifest.user_buckets))
    return not any(map(sum, stored.chunks.values())) and not sum(stored.records)


def everything(url):
    """Every chunk and every record that the store has."""
    with redis.Redis.from_url(url) as client:
        chunks = {key: client.get(key) for key in client.scan_iter("gen:*:part:*")}
        hashes = {key: client.hgetall(key) for key in client.scan_iter("gen:*:users:*")}
    return chunks | {(key, user): record for key, users in hashes.items() for user, record in users.items()}


def flip(path):
    """Change one bit of a file's last byte."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
