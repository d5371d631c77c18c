"""The model store after a process died in it: BentoML copies file by file, and lists none past an incomplete model."""

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
    """A generation to be saved."""
    return random_generation(tmp_path / "generations", "g1", 60, 8, 20)


@pytest.fixture
def other(tmp_path):
    """Another."""
    return random_generation(tmp_path / "generations", "g2", 60, 8, 20)


@pytest.fixture
def store(tmp_path):
    """The model store of a home of its own."""
    return ModelStore(Environment(tmp_path, None))


@pytest.fixture
def models(tmp_path):
    """Where its versions stand."""
    return tmp_path / "bentoml" / "models" / "tandem"


def versions(models):
    """The ids of those that are there."""
    return sorted(path.name for path in models.iterdir() if path.is_dir())


HALVES = {
    "nothing": lambda path: [each.unlink() for each in path.iterdir()],
    "empty model": lambda path: (path / MODEL).write_text(""),
    "half a part": lambda path: os.truncate(path / "embeddings.npy", 100),
}
"""What a kill leaves of a version, by where it was."""


@pytest.fixture(params=HALVES.values(), ids=HALVES)
def half(request, store, folder, models):
    """What a killed save left of g1, and no word of the latest."""
    store.save(folder)
    (models / "latest").unlink()
    request.param(models / "g1")


def test_a_killed_save_is_done_over(half, store, folder, models):
    """The next save of that generation leaves it whole, without what users did."""
    store.save(folder)
    assert GenerationFolder(models / "g1").verify() == folder.manifest
    assert not any(is_user_part(path.name) for path in (models / "g1").iterdir())


def test_a_killed_save_is_in_nobodys_way(half, store, other, models):
    """Another generation is saved and pinned, and the pruning drops what is left of the half one."""
    store.save(other)
    assert store.pin("g2") == "tandem:g2"
    store.prune({"g2"})
    assert versions(models) == ["g2"]
    assert (models / "latest").read_text() == "g2"


def test_a_word_of_the_latest_that_names_nothing(store, folder, other, models):
    """A kill while BentoML notes which version is the latest does not stop the next save."""
    store.save(folder)
    (models / "latest").write_text("g-gone")
    store.save(other)
    assert versions(models) == ["g1", "g2"]
    assert (models / "latest").read_text() == "g2"


def test_what_is_whole_stays_as_it_is(store, folder, models):
    """Saved again, from a folder that has been damaged meanwhile: no file is written."""
    store.save(folder)
    before = {path: path.stat().st_ino for path in (models / "g1").iterdir()}
    (folder.path / "embeddings.npy").write_bytes(b"damaged")
    store.save(folder)
    assert {path: path.stat().st_ino for path in (models / "g1").iterdir()} == before


def test_a_failure_before_anything_is_written_takes_nothing_away(store, folder, models):
    """Where the lock can't be had, a generation that was saved before stays."""
    store.save(folder)
    lock = models.parent.parent / ".lock"
    lock.unlink()
    lock.mkdir()
    with pytest.raises(StoreError, match="directory"):
        store.save(folder)
    with pytest.raises(StoreError, match="directory"):
        store.prune(set())
    GenerationFolder(models / "g1").verify()


def test_an_error_of_bentoml_is_one_of_ours(store, folder, models, monkeypatch):
    """A BentoML that can't start is a StoreError with BentoML's message and the folder, and leaves nothing behind."""
    monkeypatch.setenv("BENTOML_CONFIG", "absent.yaml")
    with pytest.raises(StoreError, match=r"bentoml \(.*absent\.yaml.*untouched"):
        store.save(folder)
    assert not models.exists() or versions(models) == []


DIES = """
import os, shutil, signal, sys
from functools import partial
from flows.operate import bentoml_model

copy, came, files = shutil.copy2, [], int(sys.argv.pop(1))

def counted(source, target, **options):
    if "/bentoml/models/" in str(target):
        if len(came) == files:
            os.kill(os.getpid(), signal.SIGKILL)
        came.append(target)
    return copy(source, target, **options)

shutil.copytree = partial(shutil.copytree, copy_function=counted)
bentoml_model.main(sys.argv[1:])
"""
"""Saves a model, and dies by SIGKILL after so many of its files are in the store."""


def test_a_real_kill_between_two_files(store, folder, other, models, tmp_path):
    """Killed while BentoML copies; the next save of another goes through, and so does that of the same."""
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
