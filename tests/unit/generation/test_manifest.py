"""The manifest of a generation, and the check of its parts before they are parsed."""

import shutil
from dataclasses import replace

import pytest
import redis

from recsys.errors import GenerationError
from recsys.generation.cache import GenerationCache
from recsys.generation.manifest import FORMAT, MANIFEST, GenerationFolder
from recsys.store.key_names import manifest_key
from tests.sample_data import tiny


@pytest.fixture
def folder(tiny_world, tmp_path):
    return GenerationFolder(shutil.copytree(tiny_world[0].path, tmp_path / "copy"))


@pytest.mark.parametrize("part", ["embeddings.npy", "ranker.safetensors", "spec.json", "user_records.data.npy"])
def test_a_flipped_bit_is_refused_by_name(folder, part):
    """An intact folder is accepted; one wrong bit in any part, those of users included, is refused."""
    assert folder.verify(users=True).id
    data = bytearray((folder.path / part).read_bytes())
    data[len(data) // 2] ^= 1
    (folder.path / part).write_bytes(data)
    with pytest.raises(GenerationError, match=part.replace(".", r"\.")):
        folder.verify(users=True)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 99}'])
def test_what_is_no_manifest_is_refused_with_a_sentence(folder, text):
    """Text that is no manifest raises a GenerationError and no KeyError."""
    (folder.path / MANIFEST).write_text(text)
    with pytest.raises(GenerationError, match=r"\.$"):
        folder.verify()


def test_a_generation_of_another_format_is_not_served(tiny_world, empty_store, empty_url, tmp_path):
    """A generation of an older version is refused before a part is fetched, and the error names the fix."""
    generation = tiny.publish(tiny_world[0], empty_store)
    with redis.Redis.from_url(empty_url) as client:
        client.set(manifest_key(generation), replace(tiny_world[0].manifest, format=1).to_json())
    with pytest.raises(GenerationError, match=f"has format 1; this code reads format {FORMAT}"):
        GenerationCache(tmp_path, empty_store).fetch(generation)
