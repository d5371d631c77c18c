"""Single steps of a run: what they refuse, what is retried, and what is deleted."""

import pytest

from recsys.errors import GenerationError, StoreUnavailable
from recsys.generation.publisher import Publisher
from recsys.store import RedisGenerationStore
from tests.contracts.stores import publish_small


@pytest.fixture
def generation(tiny_world):
    """A generation's folder."""
    return tiny_world[0]


def test_a_part_that_comes_back_changed_is_never_published(generation, empty_url, tmp_path):
    """If the store returns other bytes than were written, no manifest is written."""

    class ChangingStore(RedisGenerationStore):
        def read_part(self, generation, name, size, **which):
            for chunk in super().read_part(generation, name, size, **which):
                yield chunk[:-1] + b"?" if name == "age.npy" else chunk

    store = ChangingStore(empty_url)
    with pytest.raises(GenerationError, match=r"age\.npy"):
        Publisher(store, tmp_path).publish(generation)
    assert store.generations() == []
    store.close()


def test_old_generations_are_deleted_unless_an_alias_names_them(empty_store, tmp_path):
    """The newest three generations, the live one and the previous one stay, in the store and on the disk.

    The best one of 30 days stays on the disk, until another one is the best.
    """
    names = [f"g{n}" for n in range(6)]
    publish_small(empty_store, *names)
    for name in names:
        (tmp_path / name).mkdir()
    empty_store.promote("g1")
    empty_store.promote("g0")
    for _ in range(2):
        Publisher(empty_store, tmp_path).delete_old(tmp_path, "g2")
        assert empty_store.generations() == ["g0", "g1", "g3", "g4", "g5"]
        assert (tmp_path / "g2").exists()
    for n in "789":
        (tmp_path / f"g{n}").mkdir()  # of trainings that were not published
    Publisher(empty_store, tmp_path).delete_old(tmp_path)
    for n in "789":
        (tmp_path / f"g{n}").rmdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g0", "g1", "g3", "g4", "g5"]


@pytest.mark.parametrize(("error", "calls"), [(StoreUnavailable, 2), (GenerationError, 1)])
def test_an_unreachable_store_is_retried_and_a_refusal_is_not(harness, error, calls):
    """A step runs again while the store can't be reached; a refusal of the store is raised at once."""
    from prefect import flow

    from flows.orchestration import store_step

    done = []

    @store_step
    def work():
        done.append(1)
        if len(done) < 2:
            raise error("The store")

    flow(work)(return_state=True)
    assert len(done) == calls
