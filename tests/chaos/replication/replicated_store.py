"""Runs a replicated store for tests of a failover: a primary, two replicas and three Sentinels."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from recsys.errors import StoreError
from recsys.process import parent_death
from recsys.store.embedded_valkey import valkey_binary
from tests.servers.deployment import free_port
from tests.servers.store_server import StoreServer

SERVICE, SENTINEL_PASSWORD = "tandem", "watched"

DOWN_MS = 1_000
"""Silence after which a Sentinel takes a server for dead."""

MAX_LAG_SECONDS = 2
"""A primary whose replicas are further behind accepts no writes."""


class ReplicatedStore:
    """A store with a failover. url: names the Sentinels. places: HOST:PORT of each.

    secured: a folder with certificates and what make-users.sh writes. Clients then need TLS and a user of that folder,
    and the Sentinels have a password. The binary must have TLS.
    """

    def __init__(self, folder: Path, binary: Path | None = None, secured: Path | None = None) -> None:
        self._folder, self._binary, self._secured = folder, binary or valkey_binary(), secured
        self._ports = [free_port() for _ in range(3)]
        self.places = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        self.url = f"redis+sentinel://{self.places}/{SERVICE}"
        self.servers: list[StoreServer] = []
        self._sentinels: list[subprocess.Popen[bytes]] = []
        self._ports_of: list[int] = []

    def start(self) -> ReplicatedStore:
        """Start all, and wait until both replicas follow and all Sentinels have found each other."""
        for number in range(3):
            self.servers.append(self._server(self._folder / f"server-{number}").start())
            with self.servers[-1].client() as client:
                self._ports_of.append(int(client.config_get("tls-port").get("tls-port", 0)) or self.servers[-1].port)
                if number:
                    client.replicaof("127.0.0.1", self._ports_of[0])
        self._sentinels = [self._sentinel(port, self._ports_of[0]) for port in self._ports]
        wait_for(lambda: (self._state().get("num-other-sentinels"), self._state().get("num-slaves")) == (2, 2))
        self.wait_until_writable()
        return self

    def primary(self) -> StoreServer:
        """The server that the Sentinels name; it may be dead."""
        return self.servers[self._ports_of.index(self._state()["port"])]

    @contextmanager
    def without_replicas(self) -> Iterator[None]:
        """The primary accepts writes, and no replica receives them."""
        primary = self.primary()
        replicas = [server for server in self.servers if server is not primary and server.running]
        with primary.client() as client:
            client.config_set("min-replicas-to-write", 0)
            for replica in replicas:
                replica.pause()
            client.client_kill_filter(_type="replica")
        try:
            yield
        finally:
            for replica in replicas:
                replica.resume()

    def wait_until_writable(self) -> None:
        """Wait until the primary accepts writes, because it has a replica."""
        wait_for(lambda: self.primary().client().set("written", "", px=1))

    def stop(self) -> None:
        """End all."""
        for sentinel in self._sentinels:
            sentinel.send_signal(signal.SIGCONT)
            sentinel.terminate()
            sentinel.wait(30)
        for server in self.servers:
            server.stop()

    def _server(self, folder: Path) -> StoreServer:
        lines = ["min-replicas-to-write 1", f"min-replicas-max-lag {MAX_LAG_SECONDS}", "repl-diskless-sync-delay 0"]
        if self._secured:
            users = self._secured / "users"
            lines += [
                *self._tls(free_port()),
                *(users / "replica.conf").read_text().splitlines(),
                f"aclfile {users}/users.acl",
            ]
        server = StoreServer(folder, self._binary, [word for line in lines for word in f"--{line}".split()])
        if self._secured:
            server.url = server.url.replace("//", "//test:any@")
        return server

    def _tls(self, port: int) -> list[str]:
        files = [f"tls-cert-file {self._secured}/tls.crt", f"tls-key-file {self._secured}/tls.key"]
        return [
            f"tls-port {port}",
            *files,
            f"tls-ca-cert-file {self._secured}/ca.crt",
            "tls-auth-clients no",
            "tls-replication yes",
        ]

    def _state(self) -> dict[str, Any]:
        """The state of the service in the first Sentinel; empty while it does not answer."""
        own = (
            {"ssl": True, "ssl_ca_certs": f"{self._secured}/ca.crt", "password": SENTINEL_PASSWORD}
            if self._secured
            else {}
        )
        try:
            with redis.Redis(port=self._ports[0], retry=None, **own) as sentinel:
                return dict(sentinel.sentinel_masters().get(SERVICE, {}))
        except redis.ConnectionError:
            return {}

    def _sentinel(self, port: int, primary: int) -> subprocess.Popen[bytes]:
        folder = self._folder / f"sentinel-{port}"
        folder.mkdir(parents=True)
        lines = [
            *(["port 0", *self._tls(port), f"requirepass {SENTINEL_PASSWORD}"] if self._secured else [f"port {port}"]),
            *("bind 127.0.0.1", f"dir {folder}", f"logfile {folder}/log"),
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_MS}",
            f"sentinel failover-timeout {SERVICE} 5000",
            *([(self._secured / "sentinel" / "sentinel.conf").read_text()] if self._secured else []),
        ]
        file = folder / "sentinel.conf"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [str(self._binary), str(file), "--sentinel"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=parent_death.preexec())


def wait_for(done: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait until a call returns something true; errors of the store count as false."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if done():
                return
        except (redis.RedisError, StoreError, KeyError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"not so within {seconds:.0f} s")
