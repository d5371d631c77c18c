"""The steps of a run, in this process: what they refuse, what they try again, and what they leave."""

import json
from dataclasses import asdict

import pytest

from recsys.errors import GenerationError, StoreUnavailable
from recsys.generation.manifest import Manifest
from recsys.generation.publisher import Publisher
from recsys.store.memory.memory_store import MemoryStore
from tests.flows.ring import log_of, quick, ring, write


@pytest.fixture(scope="module")
def generation(tmp_path_factory):
    """A small generation's folder."""
    from training import recipe
    from training.export import Origin, export

    log = log_of(ring())
    return export(tmp_path_factory.mktemp("generations"), log, recipe.train(log, quick()), quick(), Origin("ring"))


def test_a_part_that_comes_back_changed_is_never_promoted(generation):
    """If the store returns other bytes than were written, the manifest is not written."""

    class Forgetful(MemoryStore):
        def read_part(self, generation, name, size, **which):
            for chunk in super().read_part(generation, name, size, **which):
                yield chunk[:-1] + b"?" if name == "age.npy" else chunk

    store = Forgetful()
    with pytest.raises(GenerationError, match=r"age\.npy"):
        Publisher(store, generation.path.parent).publish(generation)
    assert store.generations() == []


def test_old_generations_go_and_those_in_use_stay(generation, tmp_path):
    """The newest three stay, and so do the live one and the one before, however old; folders follow the store."""
    from flows.steps.promotion import forget

    store = MemoryStore()
    ids = [f"g{n}" for n in range(6)]
    for name in ids:
        store.write_manifest(name, generation.manifest.to_json())
        (tmp_path / name).mkdir()
    store.promote("g1")
    store.promote("g0")
    forget.fn(Publisher(store, tmp_path), tmp_path)
    assert store.generations() == ["g0", "g1", "g3", "g4", "g5"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g0", "g1", "g3", "g4", "g5"]


def test_a_lost_store_is_tried_again_and_a_refusal_is_not(harness, generation):
    """Promotion is retried while the store can't be reached; what the store refuses is raised at once."""
    from prefect import flow

    from flows.steps.promotion import promote

    class Flaky(MemoryStore):
        calls = 0

        def promote(self, generation, **how):
            self.calls += 1
            if self.calls < 2:
                raise StoreUnavailable("The store can't be reached.")
            return super().promote(generation, **how)

    @flow(validate_parameters=False)
    def promoting(store):
        promote(generation.manifest, store)

    store = Flaky()
    store.write_manifest(generation.manifest.id, generation.manifest.to_json())
    promoting(store)
    assert store.calls == 2
    empty = Flaky()
    empty.calls = 5
    with pytest.raises(GenerationError, match="is not in the store"):
        promoting(empty)
    assert empty.calls == 6


def test_the_flow_leaves_its_metrics_as_artifacts(harness, tmp_path, monkeypatch):
    """A run leaves its metrics as a markdown and a table artifact, and its report as text that opens in the UI."""
    from prefect.artifacts import Artifact

    from flows.train import run

    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "tandem"))
    monkeypatch.delenv("REDIS_URL", raising=False)
    data = str(write(tmp_path / "data", ring(users=150)))
    published = run(data, "small", asdict(quick()))
    assert isinstance(published.manifest, Manifest)
    markdown = Artifact.get("metrics-ring")
    assert published.evaluation.to_markdown() in markdown.data
    rows = json.loads(Artifact.get("metrics-table-ring").data)
    assert {row["model"]: row["recall@10"] for row in rows} == {
        name: row["recall@10"] for name, row in published.evaluation.rows.items()
    }
    report = Artifact.get("report-ring").data
    assert report.startswith(f"# {published.manifest.id}\n")
    assert published.evaluation.to_markdown() in report
    assert all(check.sentence in report for check in published.checks)


def test_a_run_goes_on_where_its_progress_can_t_be_shown(harness, monkeypatch):
    """A progress artifact that somebody deletes in the UI costs its bar, and not the training that it shows."""
    from prefect import flow, get_client, runtime
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    from flows import progress

    monkeypatch.setattr(progress, "ARTIFACT_SECONDS", 0.0)

    @flow
    def work():
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[runtime.flow_run.id]))
        with progress.run_progress() as shown, shown.step("towers") as step:
            with get_client(sync_client=True) as client:
                (artifact,) = client.read_artifacts(artifact_filter=mine)
                client.delete_artifact(artifact.id)
            step.update(0.5, "half")
        return "trained"

    assert work() == "trained"
