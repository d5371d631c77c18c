"""A disk that is full or read-only, for real: a small file system under the cache, and one under the model store."""

import pytest

from flows.operate.model_store import ModelStore
from recsys.environment import Environment
from recsys.errors import SettingsError, StoreError
from recsys.generation.manifest import GenerationFolder
from tests.chaos.small_disk import fill, may_mount, remount, small_disk
from tests.sample_data.altered_generation import altered


@pytest.fixture(autouse=True)
def mounts(tmp_path):
    """Only root may mount a file system."""
    if not may_mount(tmp_path / "probe"):
        pytest.skip("needs root and the right to mount a file system")


def test_a_full_model_store_is_a_sentence_and_leaves_nothing(pair, tmp_path):
    """What was there stays, nothing half is left, and with room the same call goes through."""
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


def test_a_read_only_model_store_is_a_sentence(pair, tmp_path):
    """Before anything is done."""
    with small_disk(tmp_path / "home" / "bentoml", 16) as disk:
        store = ModelStore(Environment(tmp_path / "home", None))
        remount(disk, "ro")
        with pytest.raises(StoreError, match="Read-only"):
            store.save(pair.first)
        with pytest.raises(SettingsError, match="TANDEM_HOME"):
            ModelStore(Environment(tmp_path / "home", None))


def test_of_the_model_store_only_what_is_kept_or_pinned_stays(pair, tmp_path):
    """As many versions as generations are kept."""
    store = ModelStore(Environment(tmp_path / "home", None))
    for generation in (pair.first, pair.second, altered(pair.second, tmp_path / "g3")):
        store.save(generation)
        store.save(generation)
    store.prune({"g3"})
    versions = (tmp_path / "home" / "bentoml" / "models" / "tandem").iterdir()
    assert [path.name for path in versions if path.is_dir()] == ["g3"]
