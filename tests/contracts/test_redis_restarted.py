"""A restart of a Redis with the users of `deploy/redis` loses no data."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
import redis

from recsys.process import parent_death
from recsys.store.embedded_valkey import valkey_binary
from tests.servers.debian_redis import debian_redis
from tests.servers.deployment import free_port

MAKE = Path(__file__).parents[2] / "deploy" / "redis" / "make-users.sh"


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_transaction_survives_a_restart(tmp_path: Path, kind: str) -> None:
    """Redis reads its append-only file as the default user, which has rights but no login."""
    binary = valkey_binary() if kind == "valkey" else debian_redis()
    if binary is None:
        pytest.skip("no redis-server can be had here")
    port = free_port()
    subprocess.run([str(MAKE), str(tmp_path), f"127.0.0.1:{port}"], check=True)
    users = tmp_path / "users" / "users.acl"
    command = [
        str(binary),
        *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)),
        "--aclfile",
        str(users),
    ]
    flows = redis.Redis.from_url((tmp_path / "flows" / "url").read_text().strip())
    for written in ({}, {b"gen:g1:manifest": b"all of it", b"alias:live": b"g1"}):
        server = subprocess.Popen(
            [*command, "--appendonly", "yes"], stdout=subprocess.DEVNULL, preexec_fn=parent_death.preexec()
        )
        try:
            _wait_for(flows, server)
            assert {key: flows.get(key) for key in written} == written
            with flows.pipeline(transaction=True) as together:
                together.set("gen:g1:manifest", "all of it").set("alias:live", "g1").execute()
            with pytest.raises(redis.AuthenticationError):
                redis.Redis(port=port, retry=None).ping()
            for password in ("", "default"):
                with pytest.raises(redis.AuthenticationError):
                    redis.Redis(port=port, username="default", password=password, retry=None).ping()
        finally:
            server.terminate()
            server.wait()


def _wait_for(client: redis.Redis, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 10
    while server.poll() is None and time.monotonic() < end:
        try:
            client.ping()
        except (redis.ConnectionError, redis.BusyLoadingError):
            time.sleep(0.05)
        else:
            return
    pytest.fail("the server does not answer")
