"""A restart of a Redis with the users of `deploy/redis` loses no data."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import redis

from recsys.store.embedded_valkey import valkey_binary
from tests.contracts.test_redis_users import MAKE
from tests.servers.debian_redis import debian_redis
from tests.servers.store_server import StoreServer


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_transaction_survives_a_restart(tmp_path: Path, kind: str) -> None:
    """Redis reads its append-only file as the default user, which has rights but no login."""
    binary = valkey_binary() if kind == "valkey" else debian_redis()
    if binary is None:
        pytest.skip("no redis-server can be had here")
    server = StoreServer(tmp_path, binary, ["--aclfile", str(tmp_path / "users" / "users.acl")])
    place = server.url.removeprefix("redis://").removesuffix("/0")
    subprocess.run([str(MAKE), str(tmp_path), place], check=True)
    server.url = (tmp_path / "flows" / "url").read_text().strip()
    for written in ({}, {b"gen:g1:manifest": b"all of it", b"alias:live": b"g1"}):
        server.start()
        try:
            with server.client() as flows, flows.pipeline(transaction=True) as together:
                assert {key: flows.get(key) for key in written} == written
                together.set("gen:g1:manifest", "all of it").set("alias:live", "g1").execute()
            for login in ({}, {"username": "default", "password": ""}, {"username": "default", "password": "default"}):
                with pytest.raises(redis.AuthenticationError):
                    redis.Redis(port=int(place.split(":")[1]), retry=None, **login).ping()
        finally:
            server.stop()
