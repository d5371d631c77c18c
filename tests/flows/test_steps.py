"""Single steps of a run: what they refuse, what is retried, and what is deleted."""

import gc
import weakref

import pytest

from recsys.errors import GenerationError, StoreUnavailable
from recsys.generation.publisher import Publisher
from recsys.store import RedisGenerationStore
from tests.contracts.stores import publish_small
from tests.flows.ring_dataset import ring, write


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


def test_a_deleted_progress_artifact_does_not_fail_the_run(harness, monkeypatch):
    """A user deletes the progress artifact in Prefect's UI: the training goes on without it."""
    from prefect import flow, get_client, runtime
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    from flows import progress

    monkeypatch.setattr(progress, "ARTIFACT_SECONDS", 0.0)

    @flow
    def work():
        of_this_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[runtime.flow_run.id]))
        with progress.run_progress() as shown, shown.step("towers") as step:
            with get_client(sync_client=True) as client:
                (artifact,) = client.read_artifacts(artifact_filter=of_this_run)
                client.delete_artifact(artifact.id)
            step(0.5, "half")
        return "trained"

    assert work() == "trained"


def test_the_rows_of_the_dataset_are_freed_before_the_training(harness, own_valkey_url, tmp_path, monkeypatch):
    """Prefect holds what a task returns to the end of the flow: neither the flow nor Prefect has the pandas frame."""
    from flows import train
    from flows.steps import training

    frames, alive = [], []

    def read(*arguments):
        dataset = real_read(*arguments)
        frames.append(weakref.ref(dataset.interactions))
        return dataset

    def train_ranker(parts, *_):
        gc.collect()
        alive.append((frames[0]() is not None, len(parts.log)))
        raise GenerationError("enough")

    real_read = training.read
    monkeypatch.setattr(training, "read", read)
    monkeypatch.setattr(train, "train_ranker", train_ranker)
    monkeypatch.setenv("REDIS_URL", own_valkey_url)
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "home"))
    with pytest.raises(GenerationError, match="enough"):
        train.run(str(write(tmp_path / "data", ring(users=150))), "small")
    ((kept, events),) = alive
    assert not kept
    assert events > 0
