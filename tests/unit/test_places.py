"""Services on other hosts: which address of a name is asked, what the network may swallow, and which roles start."""

import asyncio
import socket
import time

import numpy as np
import pytest
import uvloop

from recsys.environment import Environment
from recsys.errors import SettingsError, StageError
from service import hop as hops
from service import places, serve
from service.hop import Hop
from service.places import Places
from service.settings import Settings
from tests.deployment import free_port
from tests.unit.test_hop import Server, rows


class Resolver:
    """What a loop is told of names, and how often it asked; a loop takes it for its own."""

    def __init__(self, monkeypatch, *addresses):
        self.addresses, self.asked, self.away = list(addresses), 0, False
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", self.getaddrinfo)

    async def getaddrinfo(self, host, port, **_):
        self.asked += 1
        if self.away:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in self.addresses]


@pytest.fixture
def resolver(monkeypatch):
    return Resolver(monkeypatch, "127.0.0.1", "127.0.0.2", "127.0.0.3")


def test_calls_spread_over_the_addresses_of_a_name(resolver):
    """Each stands first as often as the others, and the name is asked for once."""

    async def scene():
        there = Places("ranking", 3000)
        firsts = [(await there.in_turn())[0] for _ in range(300)]
        return {each: firsts.count(each) for each in resolver.addresses}

    counts = asyncio.run(scene())
    assert min(counts.values()) > 60
    assert resolver.asked == 1


def test_names_are_asked_for_anew_and_an_absent_resolver_is_borne(resolver, monkeypatch):
    """Pods come and go; while nobody can say which, those of before stand."""
    monkeypatch.setattr(places, "FRESH_SECONDS", 0.0)

    async def settled(there):
        await there.in_turn()
        await asyncio.sleep(0.01)
        return sorted(await there.in_turn())

    async def scene():
        there = Places("ranking", 3000)
        assert len(await settled(there)) == 3
        resolver.addresses = ["127.0.0.9"]
        assert await settled(there) == ["127.0.0.9"]
        resolver.away = True
        assert await settled(there) == ["127.0.0.9"]

    asyncio.run(scene())


def test_a_name_that_nobody_knows_is_a_stage_left_out(resolver):
    """In a sentence, and once it is known calls go through."""
    resolver.away = True

    async def scene():
        with pytest.raises(StageError, match=r"nobody listens at http://ranking:3000: .*name resolution"):
            await Hop("http://ranking:3000").call("double", rows(1))

    asyncio.run(scene())


def test_a_host_that_keeps_silent_costs_a_moment_once(resolver, monkeypatch):
    """Another is asked instead, and the silent one last for a while."""
    port, silent = free_port(), []
    real = asyncio.BaseEventLoop.create_connection

    async def create_connection(loop, protocol, host, at, **options):
        if host == "127.0.0.2":  # packets to it get lost
            silent.append(host)
            await asyncio.sleep(60)
        return await real(loop, protocol, host, at, **options)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", create_connection)
    monkeypatch.setattr(hops, "KEPT_SECONDS", 0.0)  # each call on a connection of its own
    resolver.addresses = ["127.0.0.2", "127.0.0.1"]

    async def scene():
        hop = Hop(f"tcp://ranking:{port}")
        for _ in range(20):
            np.testing.assert_array_equal(await hop.call("double", rows(1)), 2 * rows(1))

    with Server({"port": port, "host": "127.0.0.1"}):
        asyncio.run(asyncio.wait_for(scene(), 20))
    assert len(silent) == 1


def test_where_all_keep_silent_a_call_ends(monkeypatch):
    """After a few tries, without anybody's timeout; here a listener whose queue is full lets packets fall."""

    async def scene(port):
        start = time.monotonic()
        with pytest.raises(StageError, match="did not answer"):
            await Hop(f"http://127.0.0.1:{port}").call("double", rows(1))
        return time.monotonic() - start

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            took = uvloop.run(asyncio.wait_for(scene(port), 20))
    assert took >= hops.CONNECT_TRIES * hops.CONNECT_SECONDS * 0.9


def test_connections_give_up_when_nobody_acknowledges():
    """The kernel is told so, else one lies about for a quarter of an hour."""
    port = free_port()

    async def scene():
        hop = Hop(f"http://127.0.0.1:{port}")
        await hop.call("double", rows(1))
        told = hop._idle[0]._transport.get_extra_info("socket")
        return told.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

    with Server({"port": port}):
        assert uvloop.run(scene()) == places.DEAD_MS


@pytest.mark.parametrize("url", ["ranking:3000", "https://ranking:3000", "http://", "http://a:99999", "http://a/b"])
def test_a_url_that_is_none_is_refused(url):
    """By the setting's name, with how it is written."""
    with pytest.raises(ValueError, match="write it as http://host:port"):
        Settings(ranking_url=url)


def test_inline_has_nobody_elsewhere():
    """Both at once would leave one of them unused."""
    with pytest.raises(SettingsError, match="TANDEM_TOPOLOGY=inline"):
        Settings(topology="inline", ranking_url="http://ranking:3000")


@pytest.mark.parametrize(
    ("role", "redis_url", "urls", "said"),
    [
        ("ranking", None, {}, "The role ranking needs REDIS_URL"),
        ("gateway", "redis://a", {"ranking_url": "http://b"}, "TANDEM_RETRIEVAL_URL and TANDEM_RANKING_URL"),
    ],
)
def test_a_role_without_what_it_needs_does_not_start(tmp_path, role, redis_url, urls, said):
    """It says what is missing."""
    with pytest.raises(SettingsError, match=said):
        serve.check(Settings(**urls), Environment(tmp_path, redis_url), role)


def test_the_url_of_redis_may_stand_in_a_file(tmp_path, monkeypatch):
    """As containers are given secrets; one that is not there stops the start with its name."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SettingsError, match="REDIS_URL_FILE"):
        Environment.read()
    (tmp_path / "url").write_text("redis://gateway:word@redis:6379/0\n")
    assert Environment.read().redis_url == "redis://gateway:word@redis:6379/0"
