"""The deployments of prefect.yaml on a real Prefect server with a real worker."""

import json
import sys
from dataclasses import asdict
from functools import partial

import psutil
import pyarrow.parquet as pq
import pytest
import redis

from recsys.store import RedisGenerationStore
from recsys.store.redis.run_store import RedisRunStore
from tests.flows.prefect_operator import Operator, finished, pause_schedules, until
from tests.flows.ring_dataset import quick, ring, write
from tests.sample_data import tiny
from tests.sample_data.altered_generation import altered
from tests.servers.flow_environment import ROOT


@pytest.fixture(scope="module")
def operator(harness, prefect_url, own_valkey_url, tmp_path_factory):
    with redis.Redis.from_url(own_valkey_url) as client:
        client.flushall()
    operator = Operator(tmp_path_factory.mktemp("operator"), prefect_url, own_valkey_url)
    operator.data = str(write(operator.home / "data", ring(users=300, strings=True)))
    operator.prefect("work-pool", "create", "tandem", "--type", "process")
    operator.prefect("deploy", "--all")
    pause_schedules()
    with operator.worker() as worker:
        operator.worker_pid = worker.pid
        yield operator


@pytest.fixture
def client(harness):
    from prefect import get_client

    with get_client(sync_client=True) as client:
        yield client


def start(deployment, command=None, **parameters):
    """Start a deployment with these parameters, and return the id of the flow run. command: in place of Prefect's."""
    from prefect.deployments import run_deployment

    own = {"command": command, "env": {"PYTHONPATH": str(ROOT)}} if command else None
    return run_deployment(deployment, parameters=parameters, job_variables=own, timeout=0).id


def runs_of(client, flow, deployed=True):
    """The runs of a flow's deployments, or its other runs: tests also run flows as commands beside the same server."""
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    runs = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])))
    return [run for run in runs if (run.deployment_id is not None) == deployed]


def artifacts_and_log(client, run):
    """The artifacts of a flow run and its tasks, by key, and the lines of its log."""
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        LogFilter,
        LogFilterFlowRunId,
    )

    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    artifacts = client.read_artifacts(artifact_filter=of_run)
    logs = until(lambda: client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))))
    return {artifact.key: artifact for artifact in artifacts}, [line.message for line in logs]


def process_of(operator, run):
    """The process that runs a flow run."""
    for process in psutil.Process(operator.worker_pid).children(recursive=True):
        try:
            if process.environ().get("PREFECT__FLOW_RUN_ID") == str(run):
                return process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return None


def records(operator):
    """The records of the runs in the store, by the run's id."""
    store = RedisRunStore(operator.redis_url)
    found = {record.run: record for of_flow in store.read().values() for record in of_flow}
    store.close()
    return found


def test_a_killed_training_starts_again_and_lists_follow(operator, client):
    """A killed training starts again and publishes, `batch` follows it, and Prefect has the artifacts and the log.

    The store has a record of each run: the killed one crashed.
    """
    killed = run = start("train/nightly", data=operator.data, config="small", overrides=asdict(quick()))
    until(lambda: "progress-towers-before-the-labels" in artifacts_and_log(client, run)[0])
    process_of(operator, run).kill()
    (after,) = until(lambda: [found for found in runs_of(client, "train") if "after-crash-1" in found.tags])
    run = after.id
    done = finished(client, run)
    assert done.state.is_completed(), artifacts_and_log(client, run)[1]
    live = RedisGenerationStore(operator.redis_url).alias("live")
    assert records(operator)[str(killed)].state == "crashed"
    record = until(lambda: (each := records(operator)[str(run)]).state == "completed" and each)
    assert (record.flow, record.deployment) == ("train", "nightly")
    assert record.figures.generation == live
    assert record.figures.rows_in == record.figures.rows_out > 0
    assert 0 < record.figures.quality <= 1
    assert record.figures.bytes > 1_000
    assert record.end > record.start > records(operator)[str(killed)].end
    assert done.name == f"train-{live}"
    artifacts, _ = artifacts_and_log(client, run)
    assert artifacts["report-ring"].data.startswith(f"# {live}\n")
    assert artifacts["progress-publishing"].data == 100
    assert until(
        lambda: any(line.startswith("publishing: ") for line in artifacts_and_log(client, run)[1])
    )  # sent in batches

    (listing,) = until(lambda: runs_of(client, "batch"))
    assert finished(client, listing.id).name == f"batch-{live}"
    results = json.loads(artifacts_and_log(client, listing.id)[0]["result-batch"].data)
    assert {"result": "lists", "value": "300"} in results


def ranks(operator):
    """The ranks of the processes that the worker's run has."""
    return {each.environ().get("RANK") for each in psutil.Process(operator.worker_pid).children(recursive=True)}


@pytest.mark.slow
def test_a_training_runs_on_two_processes(operator, client):
    """A deployment's run whose command is torchrun trains on two ranks."""
    command = f"{sys.executable} -m torch.distributed.run --standalone --nproc-per-node 2 -m flows.cli.torchrun"
    run = start("train/nightly", command, data=operator.data, config="small", overrides=asdict(quick()), force=True)
    until(lambda: "progress-towers-before-the-labels" in artifacts_and_log(client, run)[0])
    assert {"0", "1"} <= ranks(operator)
    assert finished(client, run).state.is_completed()


def test_the_other_deployments_take_parameters(operator, client):
    """Runs use the entered parameters and write a result artifact; a value out of range is refused.

    `prefect deploy` loads the flows of all deployments; those that run here have parameters.
    """
    from prefect.exceptions import PrefectHTTPStatusError

    starts = {
        "batch": partial(start, "batch/trained", top=3),
        "drain": partial(start, "drain/often", wait=0.0),
        "monitor": partial(start, "monitor/often", gateways=[]),
    }
    runs = {}
    for flow, begin in starts.items():
        done = finished(client, run := begin())
        if done.state.is_cancelled():  # a run that was scheduled before the pause held the deployment
            done = finished(client, run := begin())
        runs[flow] = run
        artifacts, log = artifacts_and_log(client, run)
        assert done.state.is_completed(), log
        assert f"result-{flow}" in artifacts
        assert log
        until(lambda run=run: records(operator)[str(run)].state == "completed")  # written after Prefect's own state
    result = {
        row["result"]: row["value"]
        for row in json.loads(artifacts_and_log(client, runs["batch"])[0]["result-batch"].data)
    }
    assert set(pq.read_table(result["parquet"])["rank"].to_pylist()) == {1, 2, 3}
    with pytest.raises(PrefectHTTPStatusError, match="top"):
        start("batch/trained", top=0)


def test_a_person_promotes_and_rolls_back(operator, client, tiny_world, tmp_path):
    """The state of a run has the command's sentence. A rollback to another generation than stated moves nothing."""
    store = RedisGenerationStore(operator.redis_url)
    new = tiny.publish(altered(tiny_world[0], tmp_path / "g-new"), store)
    before = tiny.publish(tiny_world[0], store)

    def state(deployment, **parameters):
        found = finished(client, start(deployment, **parameters)).state
        return found.type.value, found.message

    ended, message = state("promote/by-hand", generation=new)
    assert (ended, message.split(";")[0]) == ("COMPLETED", f"Live: {new}. Before: {before}")
    assert store.aliases() == (new, before)
    ended, message = state("rollback/by-hand", to=new)
    assert ended == "FAILED"
    assert message == f"{new} is not what was live before {new}; {before} is. Nothing moved."
    assert store.aliases() == (new, before)
    assert state("rollback/by-hand", to=before)[0] == "COMPLETED"
    assert store.aliases() == (before, new)
