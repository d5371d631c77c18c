"""A real deployment for simulated users: `python -m service serve` with its own store, and the requests to it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from recsys.errors import TandemError
from recsys.process import parent_death
from training.simulation.flow_worker import ROOT, inherited

AT_ONCE = 50
"""Users of a request: 0.8 ms for a slate, and 3.1 ms with a request for each user."""

UNLOGGED = 100
"""Slates that may wait to be logged; above 256 the deployment drops the oldest."""

READY_SECONDS, LOG_SECONDS = 120.0, 30.0
LOGGED = re.compile(r'^tandem_impressions_total\{outcome="(\w+)"\} (\S+)', re.MULTILINE)


class DeploymentFailed(TandemError):
    """A deployment did not start, or did not answer as it should."""


class Deployment:
    """A deployment on a free port; a context manager that ends it.

    home: its state, with a live generation. logs: whether it logs what it shows. variables: of its environment.
    """

    def __init__(self, home: Path, logs: bool, variables: dict[str, str]) -> None:
        self._log, self._logs, self._shown, self.unlogged = home / "serve.log", logs, 0, 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        for name in ("rules.toml", "surfaces.toml"):
            (home / name).touch()
        own = {
            "PORT": str(port),
            "GRPC_PORT": "0",
            "TANDEM_HOME": str(home),
            "TANDEM_RULES": str(home / "rules.toml"),
            "TANDEM_SURFACES": str(home / "surfaces.toml"),
            "TANDEM_TOPOLOGY": "inline",
            "TANDEM_DEADLINE_MS": "10000",
            "TANDEM_IMPRESSIONS_PER_SECOND": "1000000" if logs else "0",
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"],
                cwd=ROOT,
                env=inherited() | own | variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=parent_death.preexec(),
            )
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)

    def slates(self, users: Sequence[str], k: int) -> list[list[str]]:
        """The items of a slate for each user. Slates of an earlier call may not be logged yet."""
        found: list[list[str]] = []
        for start in range(0, len(users), AT_ONCE):
            self.wait_for_log(UNLOGGED)
            of_users = [*users[start : start + AT_ONCE]]
            answer = self._call("POST", "/recommend", {"user_ids": of_users, "k": k, "mode": "realtime"})
            slates = answer["slates"]
            if any(slate["degraded"] or len(slate["items"]) < k for slate in slates):
                raise DeploymentFailed(f"A slate lacks a stage or items. {self._log} may have the reason.")
            found += [[item["item_id"] for item in slate["items"]] for slate in slates]
            self._shown += len(of_users) if self._logs else 0
        return found

    def send_events(self, clicked: Sequence[tuple[str, str]]) -> None:
        """Store a click for each pair of a user and an item."""
        for start in range(0, len(clicked), 1_000):
            events = [{"user_id": user, "item_id": item} for user, item in clicked[start : start + 1_000]]
            self._call("POST", "/events", {"events": events})

    def put_items(self, new: Sequence[Mapping[str, Any]], changed: Sequence[Mapping[str, Any]]) -> None:
        """Add items and change others, and wait until the deployment can show the new ones."""
        shown = self._call("GET", "/status")["fresh_items"] + len(new)
        self._call("PUT", "/items", {"items": [*new, *changed]})
        self._wait(lambda: self._call("GET", "/status")["fresh_items"] == shown, "take the items put")

    def wait_for_generation(self, generation: str) -> None:
        """Wait until the deployment answers from a generation."""
        self._wait(lambda: self._call("GET", "/status")["generation"] == generation, f"serve {generation}")

    def wait_for_log(self, waiting: int = 0) -> None:
        """Wait until at most so many slates are not in the store. DeploymentFailed if one was lost.

        unlogged: slates that ranking would have ordered otherwise a moment later, which a deployment does not log.
        """
        if not self._logs or self._shown <= waiting:
            return
        found: dict[str, float] = {}

        def logged() -> bool:
            found.update({name: float(count) for name, count in LOGGED.findall(self._client.get("/metrics").text)})
            return self._shown - sum(found.values()) <= waiting

        self._wait(logged, "log its slates")
        self.unlogged = int(found.get("changed", 0))
        if lost := {name: count for name, count in found.items() if count and name not in ("logged", "changed")}:
            raise DeploymentFailed(f"Slates were not logged: {lost}.")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._client.request(method, path, json=body)
        if answer.status_code != httpx.codes.OK:
            raise DeploymentFailed(f"{method} {path} was answered with {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def _wait(self, condition: Any, what: str, seconds: float = LOG_SECONDS) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or self._process.poll() is not None:
                raise DeploymentFailed(f"The deployment did not {what} within {seconds:.0f} s. See {self._log}.")
            time.sleep(0.02)

    def _ready(self) -> bool:
        try:
            return self._client.get("/readyz").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def __enter__(self) -> Self:
        try:
            self._wait(self._ready, "start", READY_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
