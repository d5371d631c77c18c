"""BentoML's model store after a killed save: BentoML copies file by file, and lists no model if one is incomplete."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.operate.model_store import ModelStore
from recsys.environment import Environment
from recsys.errors import StoreError
from recsys.generation.manifest import MANIFEST, GenerationFolder, is_user_part
from training.untrained_generation import random_generation

ROOT = Path(__file__).resolve().parents[2]
MODEL = "model.yaml"


@pytest.fixture
def folder(tmp_path):
    """A generation to save."""
    return random_generation(tmp_path / "generations", "g1", 60, 8, 20)


@pytest.fixture
def other(tmp_path):
    """A second generation."""
    return random_generation(tmp_path / "generations", "g2", 60, 8, 20)


@pytest.fixture
def store(tmp_path):
    """The model store of a home of its own."""
    return ModelStore(Environment(tmp_path, None))


@pytest.fixture
def models(tmp_path):
    """The folder of the saved generations."""
    return tmp_path / "bentoml" / "models" / "tandem"


def versions(models):
    """The saved ids."""
    return sorted(path.name for path in models.iterdir() if path.is_dir())


HALVES = {
    "empty model": lambda path: (path / MODEL).write_text(""),
    "half a part": lambda path: os.truncate(path / "embeddings.npy", 100),
}
"""What a kill leaves of a model."""


@pytest.mark.parametrize("damage", HALVES.values(), ids=HALVES)
def test_a_killed_save_is_repaired_and_blocks_no_other_save(damage, store, folder, other, models):
    """Another generation is saved and pinned beside an incomplete one, and the next save of that one completes it."""
    store.save(folder)
    (models / "latest").unlink()
    damage(models / "g1")
    store.save(other)
    assert store.pin("g2") == "tandem:g2"
    assert (models / "latest").read_text() == "g2"
    store.save(folder)
    assert GenerationFolder(models / "g1").verify() == folder.manifest
    assert not any(is_user_part(path.name) for path in (models / "g1").iterdir())
    store.prune({"g2"})
    assert versions(models) == ["g2"]


def test_a_latest_file_that_names_no_model(store, folder, other, models):
    """A kill while BentoML writes the name of the latest model does not fail the next save."""
    store.save(folder)
    (models / "latest").write_text("g-gone")
    store.save(other)
    assert versions(models) == ["g1", "g2"]
    assert (models / "latest").read_text() == "g2"


def test_a_complete_model_is_not_written_again(store, folder, models):
    """A second save, from a folder that was damaged meanwhile, writes no file."""
    store.save(folder)
    before = {path: path.stat().st_ino for path in (models / "g1").iterdir()}
    (folder.path / "embeddings.npy").write_bytes(b"damaged")
    store.save(folder)
    assert {path: path.stat().st_ino for path in (models / "g1").iterdir()} == before


def test_a_lock_that_can_not_be_taken_deletes_nothing(store, folder, models):
    """Save and prune fail, and the saved generation stays."""
    store.save(folder)
    lock = models.parent.parent / ".lock"
    lock.unlink()
    lock.mkdir()
    with pytest.raises(StoreError, match="directory"):
        store.save(folder)
    with pytest.raises(StoreError, match="directory"):
        store.prune(set())
    GenerationFolder(models / "g1").verify()


def test_an_error_of_bentoml_is_a_store_error(store, folder, models, monkeypatch):
    """The error has BentoML's message and the folder, and no model is left behind."""
    monkeypatch.setenv("BENTOML_CONFIG", "absent.yaml")
    with pytest.raises(StoreError, match=r"bentoml \(.*absent\.yaml.*untouched"):
        store.save(folder)
    assert not models.exists() or versions(models) == []


DIES = """
import os, shutil, signal, sys
from functools import partial
from flows.operate import bentoml_model

copy, copied, files = shutil.copy2, [], int(sys.argv.pop(1))

def counted(source, target, **options):
    if "/bentoml/models/" in str(target):
        if len(copied) == files:
            os.kill(os.getpid(), signal.SIGKILL)
        copied.append(target)
    return copy(source, target, **options)

shutil.copytree = partial(shutil.copytree, copy_function=counted)
bentoml_model.main(sys.argv[1:])
"""
"""Saves a model and ends by SIGKILL after so many files are copied."""


def test_a_real_kill_between_two_files(store, folder, other, models, tmp_path):
    """After a kill while BentoML copies, both the other and the same generation can be saved."""
    parts = *folder.manifest.stored_parts, MANIFEST
    variables = os.environ | {"BENTOML_HOME": str(tmp_path / "bentoml"), "TMPDIR": str(tmp_path)}
    killed = subprocess.run(
        [sys.executable, "-c", DIES, "2", "tandem:g1", "shop", str(folder.path), *parts],
        cwd=ROOT,
        env=variables,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list((models / "g1").iterdir())) == 2
    store.save(other)
    store.save(folder)
    for saved in (folder, other):
        assert GenerationFolder(models / saved.manifest.id).verify() == saved.manifest
