"""Starts the service on several test hosts: one each for Redis, retrieval, ranking, the gateway and the load.

Each role connects to Redis as the user that `deploy/redis` makes for it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx

from recsys.generation.publisher import Publisher
from recsys.store import RedisGenerationStore
from recsys.store.embedded_valkey import valkey_binary
from tests.judged_load.expected_slates import ExpectedSlates
from tests.judged_load.http_load import HttpLoad
from tests.judged_load.served_pair import USERS, GenerationPair
from tests.network.hosts import Hosts
from tests.servers.deployment import ROOT

T = TypeVar("T")

MAKE_USERS = ROOT / "deploy" / "redis" / "make-users.sh"
ROLES = ("retrieval", "ranking", "gateway")
CLIENT = "client"
READY_SECONDS = 180

SETTINGS = {"TANDEM_KEYS": "none", "GRPC_PORT": "0", "PORT": "3000", "TANDEM_IMPRESSIONS_PER_SECOND": "0"}


class HostLoad(HttpLoad):
    """Requests of the host CLIENT."""

    def __init__(self, hosts: Hosts, url: str) -> None:
        super().__init__(url, USERS)
        self._hosts = hosts

    async def _run(self) -> None:
        self._hosts.enter(CLIENT)
        await super()._run()


class SpreadDeployment:
    """Serves `pair.first` while it is entered."""

    def __init__(self, folder: Path, pair: GenerationPair, hosts: Hosts) -> None:
        self._folder, self.pair, self.hosts = folder, pair, hosts
        self.url = f"http://{hosts.address('gateway')}:3000"
        self._secrets = folder / "secrets"

    def __enter__(self) -> SpreadDeployment:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in (*reversed(ROLES), "redis"):
            if self.hosts.runs(name):
                self.hosts.stop(name)

    @property
    def expected(self) -> dict[str, ExpectedSlates]:
        """The slates of both generations by id."""
        return self.pair.expected

    def load(self) -> HostLoad:
        """A load from the host CLIENT."""
        return HostLoad(self.hosts, self.url)

    def on(self, host: str, work: Callable[[], T]) -> T:
        """Run `work` on a host, in a thread, and return its result."""

        def on_host() -> T:
            self.hosts.enter(host)
            return work()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(on_host).result()

    def with_store(self, work: Callable[[RedisGenerationStore], Any]) -> Any:
        """Run `work` with the generations in the store."""

        def connected() -> Any:
            store = RedisGenerationStore((self._secrets / "flows" / "url").read_text().strip())
            try:
                return work(store)
            finally:
                store.close()

        return self.on("redis", connected)

    def put(self, generation: Any) -> None:
        """Write a generation to the store without promoting it."""
        self.with_store(lambda store: Publisher(store, self._folder / "trials").publish(generation))

    def _start(self) -> None:
        address, rules = self.hosts.address, self._folder / "rules.toml"
        rules.touch()
        subprocess.run([str(MAKE_USERS), str(self._secrets), f"{address('redis')}:6379"], check=True)
        users = ["--aclfile", str(self._secrets / "users" / "users.acl")]
        store = ["--bind", address("redis"), "--save", "", "--dir", str(self._folder), *users]
        self.hosts.start("redis", [str(valkey_binary()), *store], self._folder / "redis.log")
        _until(10, lambda: self.with_store(lambda store: store.ping()) is None)
        self.put(self.pair.first)
        self.with_store(lambda store: store.promote(self.pair.first.manifest.id))
        away = {f"TANDEM_{name.upper()}_URL": f"http://{address(name)}:3000" for name in ("retrieval", "ranking")}
        for name in ROLES:
            self.hosts.start(
                name,
                [sys.executable, "-m", "service", "serve", "--role", name],
                self._folder / f"{name}.log",
                **SETTINGS,
                **(away if name == "gateway" else {}),
                REDIS_URL_FILE=str(self._secrets / ("gateway" if name == "gateway" else "model") / "url"),
                TANDEM_HOST=address(name),
                TANDEM_HOME=str(self._folder / name),  # hosts have no common disk
                TANDEM_RULES=str(rules),
            )
        for name in ROLES:
            ready = f"http://{address(name)}:3000/readyz"
            fine = _until(
                READY_SECONDS,
                lambda ready=ready: self.on(CLIENT, lambda: httpx.get(ready, timeout=2).status_code) == 200,
            )
            assert fine, f"{name} is not ready:\n{(self._folder / f'{name}.log').read_text(errors='replace')}"


def _until(seconds: float, fine: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if fine():
                return True
        except Exception:
            pass
        time.sleep(0.2)
    return False
