"""Setup of the edge tests: two deployments of the service with API keys behind HAProxy, and clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from recsys.store import RedisGenerationStore
from service.auth import key, key_editor
from service.auth.keyring import KeyRecord
from tests.judged_load.grpc_load import GrpcLoad
from tests.judged_load.http_load import Answer, HttpLoad
from tests.judged_load.served_pair import USERS
from tests.sample_data import tiny
from tests.servers.deployment import Deployment, free_port
from tests.servers.haproxy import Proxy
from tests.servers.store_server import StoreServer

Answers = dict[str, list[Answer]]
"""The answers over HTTP and over gRPC, by the names "http" and "grpc"."""


class ProxiedDeployments:
    """A Redis, two deployments that serve from it, and the proxy in front of them, while it is entered."""

    def __init__(self, folder: Path, haproxy: Path, **settings: str) -> None:
        self._folder, self._haproxy, self._settings = folder, haproxy, settings

    def __enter__(self) -> ProxiedDeployments:
        self._folder.mkdir(parents=True)
        with ExitStack() as stack:
            server = StoreServer(self._folder / "redis").start()
            stack.callback(server.stop)
            generation, _ = tiny.generation(self._folder / "generation")
            tiny.publish(generation, RedisGenerationStore(server.url))
            keys = self._keys()
            self.deployments = [self._deployment(number, server.url, keys) for number in (1, 2)]
            for each in self.deployments:
                each.start()
                stack.callback(each.stop)
            for each in self.deployments:
                each.wait_until_ready()
            gateways = [(each.port, each.grpc_port) for each in self.deployments]
            self.proxy = stack.enter_context(Proxy(self._haproxy, gateways, self._folder / "proxy.log"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def clients(self, rate: float) -> Iterator[Answers]:
        """Send so many requests a second through the proxy over HTTP, and as many over gRPC, with the key."""
        headers = {"authorization": f"Bearer {self.key}"}
        http, grpc = HttpLoad(self.proxy.url, USERS, rate, headers), GrpcLoad(self.proxy.grpc, USERS, rate, headers)
        with http, grpc:
            yield {"http": http.answers, "grpc": grpc.answers}

    def _keys(self) -> Path:
        path, made = self._folder / "keys.toml", key.generate()
        record = {"id": made.id, "name": "clients", "sha256": made.sha256, "scopes": ["read", "write"]}
        key_editor.add(path, KeyRecord.model_validate(record | {"created": datetime.now(UTC)}))
        self.key = made.text
        return path

    def _deployment(self, number: int, redis: str, keys: Path) -> Deployment:
        home = self._folder / f"home-{number}"
        variables = {"REDIS_URL": redis, "TANDEM_KEYS": str(keys), "TANDEM_ADMIN_PORT": str(free_port())}
        return Deployment(home, self._folder / f"gateway-{number}.log", **variables, **self._settings)
