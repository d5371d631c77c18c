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
from tests.servers.flow_environment import flow_environment


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """Run a server with schedules and triggers and its state under `home`; the URL of its API."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env=flow_environment(home, PREFECT_SERVER_UI_ENABLED="false"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=parent_death.preexec(),
    )
    try:
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None, "the Prefect server ended"
        assert time.monotonic() < deadline, "the Prefect server does not answer"
        try:
            if httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
