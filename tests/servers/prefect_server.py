"""Runs one Prefect server for the flows of many tests: its start is two thirds of the CPU of a flow on little data."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from recsys.process import parent_death
from tests.servers.deployment import free_port
from tests.servers.flow_environment import ROOT, flow_environment


class PrefectServer:
    """A server with schedules and triggers and its state under a folder. It starts again on the same port."""

    def __init__(self, home: Path, **variables: str):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._environment = flow_environment(home, PREFECT_SERVER_UI_ENABLED="false", **variables)

    def start(self) -> None:
        """Start the server in the folder of prefect.toml, and wait until its API answers."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(self.port)],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=parent_death.preexec(),
        )
        self._wait()

    def kill(self) -> None:
        """End the server without a warning."""
        self._process.kill()
        self._process.wait(30)

    def stop(self) -> None:
        """End the server in order."""
        self._process.terminate()
        self._process.wait(30)

    def _wait(self) -> None:
        deadline = time.monotonic() + 120
        while True:
            assert self._process.poll() is None, "the Prefect server ended"
            assert time.monotonic() < deadline, "the Prefect server does not answer"
            try:
                if httpx.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """Run a server with its state under `home`; the URL of its API."""
    server = PrefectServer(home)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()
