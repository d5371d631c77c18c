"""The operator of a Prefect server, for tests of deployments: the commands of Prefect, a worker, and waits for runs."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

from recsys.process import parent_death
from tests.servers.flow_environment import ROOT, flow_environment

SECONDS = 180
"""The limit of a wait; the awaited runs take seconds on idle cores."""


class Operator:
    """The environment of an operator: a Prefect server, a worker and an empty store."""

    def __init__(self, home, prefect_url, redis_url):
        self.home, self.redis_url = home, redis_url
        own = {"REDIS_URL": redis_url, "PREFECT_API_URL": prefect_url, "PREFECT_WORKER_QUERY_SECONDS": "1"}
        self.environment = flow_environment(home, **own)

    def prefect(self, *arguments):
        return self.python("-m", "prefect", "--no-prompt", *arguments)

    def python(self, *arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def worker(self):
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "tandem"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=parent_death.preexec(),
        )
        yield process
        process.send_signal(signal.SIGINT)
        process.wait(60)


def pause_schedules():
    """A scheduled run would cancel the run of a test."""
    from prefect import get_client

    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            for schedule in deployment.schedules:
                client.update_deployment_schedule(deployment.id, schedule.id, active=False)


def until(found, seconds=SECONDS):
    """Wait until `found` returns something, and return it."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return value


def finished(client, run):
    """Wait until a flow run has ended, and return it."""

    def look():
        found = client.read_flow_run(run)
        return found if found.state.is_final() else None

    return until(look)
