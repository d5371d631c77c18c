"""Tests the store of trained models in files on a disk that is full or read-only.

The disk is a small file system of the test's own.
"""

import pytest

from flows.operate.model_store import ModelStore
from recsys.environment import Environment
from recsys.errors import SettingsError, StoreError
from recsys.generation.manifest import GenerationFolder
from tests.chaos.small_disk import fill, may_mount, remount, small_disk
from tests.sample_data.altered_generation import altered


@pytest.fixture(autouse=True)
def mounts(tmp_path):
    """Skip where no file system can be mounted."""
    if not may_mount(tmp_path / "probe"):
        pytest.skip("needs root and the right to mount a file system")


def test_a_full_disk_is_an_error_and_leaves_no_part(pair, tmp_path):
    """Earlier models stay, no part of the new one is left, and with room the same call succeeds."""
    with small_disk(tmp_path / "home" / "bentoml", 16) as disk:
        store = ModelStore(Environment(tmp_path / "home", None))
        store.save(pair.first)
        ballast = fill(disk)
        with pytest.raises(StoreError, match=r"No space left.*untouched"):
            store.save(pair.second)
        models = disk / "models" / "tandem"
        whole = {path.name for path in models.iterdir() if path.is_dir()}
        assert whole == {pair.first.manifest.id}
        GenerationFolder(models / pair.first.manifest.id).verify()
        ballast.unlink()
        assert store.save(pair.second).endswith(pair.second.manifest.id)
        GenerationFolder(models / pair.second.manifest.id).verify()


def test_a_read_only_disk_is_an_error(pair, tmp_path):
    """The error names the disk and the setting of the folder."""
    with small_disk(tmp_path / "home" / "bentoml", 16) as disk:
        store = ModelStore(Environment(tmp_path / "home", None))
        remount(disk, "ro")
        with pytest.raises(StoreError, match="Read-only"):
            store.save(pair.first)
        with pytest.raises(SettingsError, match="TANDEM_HOME"):
            ModelStore(Environment(tmp_path / "home", None))


def test_prune_keeps_the_named_models_alone(pair, tmp_path):
    """Models of other generations are deleted."""
    store = ModelStore(Environment(tmp_path / "home", None))
    for generation in (pair.first, pair.second, altered(pair.second, tmp_path / "g3")):
        store.save(generation)
        store.save(generation)
    store.prune({"g3"})
    versions = (tmp_path / "home" / "bentoml" / "models" / "tandem").iterdir()
    assert [path.name for path in versions if path.is_dir()] == ["g3"]
