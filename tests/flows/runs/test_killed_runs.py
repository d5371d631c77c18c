"""Deployments whose runs, worker and Prefect server were killed: the next scheduled run starts without a person."""

import socket
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta

import httpx
import psutil
import pytest

from tests.flows.prefect_operator import Operator, pause_schedules, until
from tests.servers.flow_environment import ROOT
from tests.servers.prefect_server import PrefectServer

pytestmark = pytest.mark.slow  # the start of a server, of workers and of flows, several times

RUNNING, PENDING = "monitor/often", "drain/often"
"""The deployment whose run is killed within the flow, and the one whose run is killed before the flow begins."""

SHORT = {
    "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "30",  # of a run before its flow begins, not 300 s
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "1",
}

LEASE_SECONDS = 300
"""Of a run within its flow; Prefect has no setting for it."""

INTERVAL = timedelta(seconds=20)
"""Of the schedules. Each run starts two processes, also one that is cancelled."""

CRASH = (
    "import sys; from prefect import get_client; from prefect.states import Crashed; "
    "get_client(sync_client=True).set_flow_run_state(sys.argv[1], Crashed(), force=True)"
)
"""The command of docs/flows.md."""


class KilledRuns:
    """A Prefect server and a worker with two runs that do not end."""

    def __init__(self, home, redis_url, hanging_store):
        self.server = PrefectServer(home, **SHORT)
        self.server.start()
        self.operator = Operator(home, self.server.url, redis_url)
        self.hanging_store = hanging_store
        self.operator.prefect("work-pool", "create", "tandem", "--type", "process")
        self.operator.prefect("deploy", "--all")

    @contextmanager
    def automated(self, within):
        """Create the automation of deploy/prefect with another limit."""
        text = (ROOT / "deploy" / "prefect" / "killed_runs.yaml").read_text(encoding="utf-8")
        assert "within: 540" in text
        file = self.operator.home / "killed_runs.yaml"
        file.write_text(text.replace("within: 540", f"within: {within}"))
        self.operator.prefect("automation", "create", "--from-file", str(file))
        try:
            yield
        finally:
            self.operator.prefect("automation", "delete", "tandem run without a heartbeat")

    def schedule(self, client, name, active):
        """Run a deployment every INTERVAL, or not."""
        from prefect.client.schemas.schedules import IntervalSchedule

        deployment = client.read_deployment_by_name(name)
        (own,) = deployment.schedules
        often = IntervalSchedule(interval=INTERVAL)
        client.update_deployment_schedule(deployment.id, own.id, active=active, schedule=often)

    def begin(self, client, worker):
        """Start a run of each deployment, and wait until one is within its flow and one is before it."""
        from prefect.deployments import run_deployment

        until(lambda: all(self.slots(client, name) == 0 for name in (RUNNING, PENDING)))
        path = {"PYTHONPATH": str(ROOT)}
        hanging = {"env": path | {"REDIS_URL": self.hanging_store}}
        endless = {"command": "sleep 600", "env": path}
        running = run_deployment(RUNNING, job_variables=hanging, timeout=0).id
        pending = run_deployment(PENDING, job_variables=endless, timeout=0).id
        until(lambda: client.read_flow_run(running).state.is_running() and self._heartbeat(running))
        until(lambda: any(each.name() == "sleep" for each in psutil.Process(worker.pid).children(recursive=True)))
        assert client.read_flow_run(pending).state.is_pending()
        return running, pending

    def _heartbeat(self, run):
        sent = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{run}"]}}
        answer = httpx.post(f"{self.server.url}/events/filter", json={"filter": sent}, trust_env=False)
        return answer.json()["events"]

    def slots(self, client, name):
        """The number of runs that hold a deployment; 1 is its limit."""
        return client.read_deployment_by_name(name).global_concurrency_limit.active_slots

    def completed(self, client, name):
        """The number of completed runs of a deployment."""
        from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

        deployment = client.read_deployment_by_name(name).id
        runs = client.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])))
        return sum(run.state.is_completed() for run in runs)


def kill(process):
    """End a process without a warning, if it has not ended."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


@contextmanager
def killed_runs(killed, client, server=True):
    """Kill the worker, the flows of two runs and the server, then start the server again. The ids of the runs."""
    with ExitStack() as stack:
        worker = stack.enter_context(killed.operator.worker())
        runs = killed.begin(client, worker)
        processes = psutil.Process(worker.pid).children(recursive=True)
        for process in processes:
            stack.callback(kill, process)
        worker.kill()
        for process in processes:
            kill(process)
        if server:
            killed.server.kill()
            killed.server.start()
        yield runs


def wait_for_scheduled_runs(killed, client, seconds):
    """Start a worker and the schedules, and wait until both deployments have completed a scheduled run."""
    with killed.operator.worker():
        before = {name: killed.completed(client, name) for name in (RUNNING, PENDING)}
        for name in before:
            killed.schedule(client, name, True)
        for name, count in before.items():
            until(lambda name=name, count=count: killed.completed(client, name) > count, seconds)
            killed.schedule(client, name, False)


@pytest.fixture(scope="module")
def killed(own_valkey_url, tmp_path_factory):
    """A server with short limits, the deployments, and a store that takes connections and answers nothing."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with socket.create_server(("127.0.0.1", 0)) as listener:
        hanging_store = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        killed = KilledRuns(tmp_path_factory.mktemp("killed"), own_valkey_url, hanging_store)
        with temporary_settings({PREFECT_API_URL: killed.server.url}):
            pause_schedules()
            yield killed
        killed.server.stop()


@pytest.fixture
def client(killed):
    """A client of that server."""
    from prefect import get_client

    with get_client(sync_client=True) as client:
        yield client


@pytest.mark.parametrize("server", [True, False], ids=["server, worker and flows", "worker and flows"])
def test_the_next_scheduled_run_starts_after_a_kill(killed, client, server):
    """Of the deployment whose flow had begun, by the automation, and of the one whose flow had not, by the lease."""
    with killed.automated(within=10), killed_runs(killed, client, server) as runs:
        wait_for_scheduled_runs(killed, client, LEASE_SECONDS)
        assert [client.read_flow_run(run).state.name for run in runs] == ["Crashed", "Submitting"]


@pytest.mark.parametrize("way", ["delete", "crash"])
def test_a_person_frees_a_deployment(killed, client, way):
    """The commands of docs/flows.md, before the lease ends: the slot of the killed run is free at once."""
    with killed_runs(killed, client, server=False) as (running, _):
        assert killed.slots(client, RUNNING) == 1
        if way == "delete":
            killed.operator.prefect("flow-run", "delete", str(running))
        else:
            killed.operator.python("-c", CRASH, str(running))
        assert killed.slots(client, RUNNING) == 0
