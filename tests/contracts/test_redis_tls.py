"""A Redis with TLS only and the users of `deploy/redis`: every kind of client connects, or its error has the reason."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.errors import StoreError, StoreUnavailable
from recsys.fresh_items.put_items import NOTHING_PUT, Put
from recsys.store import RedisFlowStore, RedisGenerationStore, RedisUserStore
from recsys.store.process_registry import Announcement
from recsys.store.redis.item_store import RedisItemReader, RedisItemWriter
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.stored_types import Trending
from tests.contracts.stores import Store, click, is_notified, manifest
from tests.contracts.test_redis_users import MAKE
from tests.servers.debian_program import REDIS
from tests.servers.deployment import free_port
from tests.servers.store_server import StoreServer


def certificates(folder: Path) -> None:
    """A CA and its certificate for this host."""
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tandem"]
    sign = ["openssl", "x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for command in (
        [*new, "-x509", "-days", "1", "-keyout", "ca.key", "-out", "ca.crt"],
        [*new, "-keyout", "tls.key", "-out", "tls.csr"],
        [*sign, "-days", "1", "-extfile", "names", "-out", "tls.crt"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The URL of each role, on a server with TLS."""
    binary, folder = REDIS.find(), tmp_path_factory.mktemp("tls")
    if binary is None or not shutil.which("openssl"):
        pytest.skip("needs a redis-server with TLS, and openssl")  # the embedded Valkey has none
    certificates(folder)
    port = free_port()
    ports = "--port", "0", "--tls-port", str(port)
    shown = "--tls-cert-file", f"{folder}/tls.crt", "--tls-key-file", f"{folder}/tls.key"
    others = "--tls-ca-cert-file", f"{folder}/ca.crt", "--tls-auth-clients", "no"
    server = StoreServer(folder, binary, [*ports, *shown, *others, "--aclfile", f"{folder}/users/users.acl"])
    subprocess.run(
        [str(MAKE), str(folder), f"localhost:{port}", "rediss", f"?ssl_ca_certs={folder}/ca.crt"], check=True
    )
    role_urls = {name: (folder / name / "url").read_text().strip() for name in ("model", "gateway", "flows")}
    server.url = role_urls["flows"]
    server.start()
    yield role_urls
    server.stop()


def test_every_client_connects(urls: dict[str, str]) -> None:
    """Generations, users, events, items and the process registry work over TLS."""
    generations, flows = RedisGenerationStore(urls["flows"]), RedisFlowStore(urls["flows"])
    reader, registry = RedisItemReader(urls["model"]), RedisProcessRegistry(urls["model"])
    gateway = urls["gateway"]
    opened = (lambda: RedisUserStore(gateway)), (lambda: RedisItemWriter(gateway))
    store = Store(generations, flows, reader, registry, *opened, ring=lambda: generations.promote("g1"))
    store.publish("g1", {"7": b"record"})
    store.publish("g2")
    generations.promote("g1")
    flows.write_trending(Trending(1.0, (("a", 1.0),)))
    store.add(click("a", time.time(), "e1"))
    (state,) = store.read("g1", "7")
    assert (state.record, [event.item_id for event in state.events]) == (b"record", ["a"])

    assert store.put(Put("new", title="New"))
    assert [item.item_id for item in reader.changes(NOTHING_PUT).items] == ["new"]
    registry.announce(Announcement("ranking here 1", "ranking", ("g1",)))
    assert is_notified(registry, lambda: generations.promote("g2"))
    for each in (generations, flows, reader, registry):
        each.close()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda url: url.replace("@", "x@"), StoreError, "refused the user or the password"),
        (lambda url: url.partition("?")[0], StoreUnavailable, "certificate is not trusted: .*; name its CA"),
        (lambda url: url.replace("rediss", "redis", 1).partition("?")[0], StoreUnavailable, "No Redis answers"),
    ],
)
def test_a_refused_connection_has_its_reason(urls: dict[str, str], change, error, message) -> None:
    """A wrong password, an untrusted CA, no TLS: the error of both kinds of client has no password."""
    url = change(urls["gateway"])
    word = urls["gateway"].split(":")[2].split("@")[0]
    store = RedisGenerationStore(url)

    async def read() -> None:
        users = RedisUserStore(url)
        try:
            await users.read_users("g1", manifest("g1").user_buckets, ["7"])
        finally:
            await users.close()

    for ask in (store.ping, lambda: asyncio.run(asyncio.wait_for(read(), 10))):
        with pytest.raises(error, match=message) as caught:
            ask()
        assert word not in str(caught.value)
    store.close()
