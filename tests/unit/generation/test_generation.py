"""A generation proves itself whole before a byte of it is parsed."""

import json
import shutil
from dataclasses import replace

import pytest

from recsys.errors import GenerationError
from recsys.generation.cache import GenerationCache
from recsys.generation.manifest import FORMAT, MANIFEST, GenerationFolder, Manifest
from recsys.store import MemoryStore
from tests.sample_data import tiny


@pytest.fixture
def folder(tiny_world, tmp_path):
    return GenerationFolder(shutil.copytree(tiny_world[0].path, tmp_path / "copy"))


def test_a_whole_generation_is_accepted(folder):
    """Nothing wrong, nothing said."""
    assert folder.verify(users=True).id


@pytest.mark.parametrize("part", ["embeddings.npy", "ranker.safetensors", "spec.json", "user_records.data.npy"])
def test_a_flipped_bit_is_refused_by_name(folder, part):
    """Any part, the users' included."""
    data = bytearray((folder.path / part).read_bytes())
    data[len(data) // 2] ^= 1
    (folder.path / part).write_bytes(data)
    with pytest.raises(GenerationError, match=part.replace(".", r"\.")):
        folder.verify(users=True)


def test_a_missing_part_is_refused_by_name(folder):
    """Half a generation is none."""
    (folder.path / "popularity.npy").unlink()
    with pytest.raises(GenerationError, match="popularity"):
        folder.verify()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 99}'])
def test_what_is_no_manifest_is_refused_with_a_sentence(folder, text):
    """Never a KeyError from inside."""
    (folder.path / MANIFEST).write_text(text)
    with pytest.raises(GenerationError, match=r"\.$"):
        folder.verify()


def test_a_generation_of_another_format_is_not_served(tiny_world, tmp_path):
    """What an older version published is refused before a part of it is fetched, with what to do."""
    store = MemoryStore()
    generation = tiny.publish(tiny_world[0], store)
    store.write_manifest(generation, replace(tiny_world[0].manifest, format=1).to_json())
    with pytest.raises(GenerationError, match=f"has format 1; this code reads format {FORMAT}"):
        GenerationCache(tmp_path, store).fetch(generation)


def test_a_manifest_survives_json(folder):
    """What is published is what is read."""
    manifest = folder.manifest
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert json.loads(manifest.to_json())["id"] == manifest.id


def test_the_cache_fetches_once_and_refuses_what_changed_on_the_way(tiny_world, tmp_path):
    """A store that gives other bytes leaves nothing behind that could be taken for a generation."""
    store = MemoryStore()
    generation = tiny.publish(tiny_world[0], store)
    cache = GenerationCache(tmp_path / "cache", store)
    assert cache.fetch(generation).manifest.id == generation
    store.write_part(generation, "embeddings.npy", b"x" * tiny_world[0].manifest.parts["embeddings.npy"].bytes)
    assert cache.fetch(generation).manifest.id == generation
    fresh = tmp_path / "fresh"
    with pytest.raises(GenerationError, match="embeddings"):
        GenerationCache(fresh, store).fetch(generation)
    assert [path.name for path in fresh.iterdir()] == [".lock"]


def test_a_damaged_copy_on_this_host_is_fetched_again(tiny_world, tmp_path):
    """And what a killed download left is cleared away."""
    store = MemoryStore()
    generation = tiny.publish(tiny_world[0], store)
    cache = GenerationCache(tmp_path, store)
    part = cache.fetch(generation).path / "embeddings.npy"
    part.write_bytes(part.read_bytes()[:-100])
    (tmp_path / f".{generation}-left").mkdir()
    cache.fetch(generation).verify()
    assert {path.name for path in tmp_path.iterdir()} == {generation, ".lock"}


def test_an_unknown_generation_is_said_to_be_unknown(tmp_path):
    """A sentence that names it."""
    with pytest.raises(GenerationError, match="g-nowhere is not in the store"):
        GenerationCache(tmp_path, MemoryStore()).fetch("g-nowhere")
