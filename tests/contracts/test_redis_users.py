"""The Redis users of `deploy/redis`: each can do the work of its role and nothing else."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from recsys.errors import StoreError
from recsys.fresh_items.put_items import NOTHING_PUT, Put
from recsys.generation.stored_generations import list_generations
from recsys.store import RedisFlowStore, RedisGenerationStore, RedisUserStore
from recsys.store.embedded_valkey import valkey_binary
from recsys.store.process_registry import Announcement
from recsys.store.redis.event_collection import RedisEventCollection
from recsys.store.redis.event_counters import RedisCountReader
from recsys.store.redis.item_store import RedisItemReader, RedisItemWriter
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.redis.run_store import RedisRunStore
from recsys.store.run_record import RunRecord
from recsys.store.stored_types import Cursor, LostEntries, Trending, UserMerge
from tests.contracts.stores import LONG, Store, click, is_notified, manifest, of_generation
from tests.servers.debian_program import REDIS
from tests.servers.store_server import StoreServer

MAKE = Path(__file__).parents[2] / "deploy" / "redis" / "make-users.sh"


RUN = RunRecord("train", "run", "nightly", start=1.0, limit=60.0)


@pytest.fixture
def urls(store: Store, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The URL of each user, on a server that has them."""
    place = store.url.removeprefix("redis://").removesuffix("/0")
    subprocess.run([str(MAKE), str(tmp_path), place], check=True)
    names = []
    for line in (tmp_path / "users" / "users.acl").read_text().splitlines():
        _, name, *rights = line.split(" ")
        if name != "default":  # the default user has no rights there, and the tests connect as it
            store.client.execute_command("ACL", "SETUSER", name, *_whole(rights))
            names.append(name)
    yield {name: (tmp_path / name / "url").read_text().strip() for name in ("model", "gateway", "flows")}
    store.client.acl_deluser(*names)


def _whole(words: list[str]) -> list[str]:
    """Join the words of a selector in parentheses."""
    whole: list[str] = []
    for word in words:
        if whole and whole[-1].startswith("(") and not whole[-1].endswith(")"):
            whole[-1] += f" {word}"
        else:
            whole.append(word)
    return whole


def as_roles(store: Store, urls: dict[str, str]) -> Store:
    """The store with the connections of the users `flows`, `gateway` and `model`."""
    return replace(
        store,
        generations=RedisGenerationStore(urls["flows"]),
        experiments=RedisExperimentStore(urls["flows"]),
        flows=RedisFlowStore(urls["flows"], LONG),
        items=RedisItemReader(urls["model"]),
        open_users=lambda: RedisUserStore(urls["gateway"], LONG),
        open_items=lambda: RedisItemWriter(urls["gateway"]),
    )


def test_the_user_of_the_flows(store: Store, urls: dict[str, str]) -> None:
    """It may publish, move aliases and delete, and read what experiments need."""
    roles = as_roles(store, urls)
    whole = roles.publish("g1", {"7": b"record"})
    claim = roles.generations.claim("g2", manifest("g2").user_buckets)
    roles.generations.renew(claim)
    assert set(roles.generations.stored_sizes(manifest("g2"), claim).records) == {0}
    roles.generations.discard(manifest("g2"), claim)
    roles.generations.release(claim)
    roles.publish("g2")
    roles.generations.promote("g1")
    roles.generations.promote("g2")
    assert roles.generations.rollback().live == "g1"
    roles.generations.promote("g1")
    assert roles.generations.generations() == ["g1", "g2"]
    assert roles.generations.memory_use() is None  # no error, and no limit
    store.generations.promote("g2")
    store.client.unlink("alias:previous")
    roles.generations.delete("g1")
    roles.experiments.change(lambda _: of_generation("g2"))
    assert roles.generations.needed() == {"g2"}
    roles.flows.write_lists("g2", whole.user_buckets, {"7": b"of the arm"}, "test.new")
    assert roles.flows.read_lists("g1", whole.user_buckets, ["7"]) == [None]
    assert roles.flows.read_user_ids("g2", 0) + roles.flows.read_user_ids("g2", 1) == ["7"]
    store.generations.promote("g2")


def test_the_user_of_the_flows_reads_and_writes_for_users(store: Store, urls: dict[str, str]) -> None:
    """It may use lists, trending items, the log and impressions, and leave records of runs."""
    roles = as_roles(store, urls)
    whole = roles.publish("g1", {"7": b"record"})
    roles.flows.write_lists("g1", whole.user_buckets, {"7": b"list"})
    assert roles.flows.read_bucket("g1", 0) | roles.flows.read_bucket("g1", 1)
    roles.flows.write_similar("g1", {3: b"similar"})
    roles.flows.write_trending(Trending(1.0, (("a", 1.0),)))
    roles.add(click("a", 5.0, "e1"))
    assert [each.event.item_id for each in roles.flows.read_log()] == ["a"]
    assert [each.item_id for each in roles.flows.read_events(["7"])[0]] == ["a"]
    roles.users(lambda users: users.add_impressions([("7", b"shown")]))
    (shown,) = roles.flows.read_impressions()
    roles.flows.drop_impressions([shown.entry])
    roles.flows.write_cursor("g1", Cursor(shown.entry, 1))
    assert roles.flows.read_cursor("g1") == Cursor(shown.entry, 1)
    assert roles.flows.active_users() == ["7"]
    counts = RedisCountReader(urls["flows"])
    assert counts.read().by_hour is not None
    counts.close()
    assert roles.flows.now() >= shown.arrived
    roles.flows.report_lost(roles.flows.lost_impressions())
    runs = RedisRunStore(urls["flows"])
    runs.write(RUN)
    assert runs.find("train", "run") == RUN
    runs.close()


def test_the_user_of_the_flows_collects_and_forgets(store: Store, urls: dict[str, str]) -> None:
    """It may copy the log of events, and removes deleted users and digests that are too old."""
    roles, collection = as_roles(store, urls), RedisEventCollection(urls["flows"])
    whole = roles.publish("g1", {"7": b"record", "8": b"record"})
    roles.add(click("a", 5.0, "e1"))
    batch = collection.begin(10)
    assert batch is not None
    assert collection.finish(batch)
    assert collection.collected_until() <= collection.now()
    collection.close()
    store.client.xadd("impressions:deleted", {"u": b"of 1970"}, id="1-1")
    roles.flows.note_deleted([b"of today"])
    assert roles.flows.read_id() == store.flows.read_id()
    roles.flows.drop_old_deletions()
    assert [user.digest for user in roles.flows.read_deleted_users()] == [b"of today"]
    roles.flows.forget_records("g1", whole.user_buckets, ["8"])
    assert roles.generations.read_records("g1", whole.user_buckets, ["7", "8"]) == [b"record", None]
    claim = roles.generations.claim("g2", whole.user_buckets)
    roles.flows.forget_records("g2", whole.user_buckets, ["9"])
    replace(roles, open_users=lambda: RedisUserStore(urls["flows"])).users(lambda users: users.forget_user("7"))
    roles.generations.write_users("g2", whole.user_buckets, dict.fromkeys("789", b"record"), claim)
    assert roles.generations.read_records("g2", whole.user_buckets, [*"789"]) == [None, b"record", None]
    assert roles.flows.read_log() == []
    assert roles.generations.read_records("g1", whole.user_buckets, ["7"]) == [None]


def test_the_user_of_the_gateway(store: Store, urls: dict[str, str]) -> None:
    """It may do what reads, events, impressions, items, merges and deletions of users need."""
    store.publish("g1")
    store.generations.promote("g1")
    store.flows.write_lists("g1", 2, {"7": b"list"})
    store.flows.write_similar("g1", {3: b"similar"})
    roles = as_roles(store, urls)
    now = time.time()
    assert roles.add(click("b", now, "e1"), click("a", now - 9, "e2"), click("old", 1.0)) == 3
    (state,) = roles.read("g1", "7")
    assert (state.record, state.listed) == (b"record", b"list")
    assert roles.read_similar("g1", 3, 4) == [b"similar", None]
    assert roles.users(lambda users: users.read_trending()) is None
    roles.users(lambda users: users.add_impressions([("7", b"shown")] * 999 + [("8", b"shown")]))
    assert roles.users(lambda users: users.read_lost()) == LostEntries(0, 0)
    claim = roles.generations.claim("g2", 1)
    assert roles.users(lambda users: users.merge_user("6", "7", [click("c", now, user="6")])) == 4
    roles.generations.write_users("g2", 1, {"6": b"record"}, claim)
    assert roles.generations.read_records("g2", 1, ["6"]) == [None]
    roles.users(lambda users: users.merge_streams([UserMerge("6", "7", now)]))
    roles.users(lambda users: users.forget_user("7"))
    (state,) = store.read("g1", "7")
    assert (state.record, state.events, state.listed) == (None, [], None)
    assert [each.data for each in store.flows.read_impressions()] == [b"shown"]

    assert roles.put(Put("new", title="New"), Put("gone", available=False))
    roles.write_items(lambda writer: writer.forget(roles.items.changes(NOTHING_PUT).items[:1]))


def test_the_user_of_the_gateway_reads_for_its_pages(store: Store, urls: dict[str, str]) -> None:
    """It may list users, generations and runs, and halt an arm; it may change neither experiments nor runs."""
    whole = store.publish("g1")
    roles = as_roles(store, urls)
    assert roles.users(lambda users: users.sample_users("g1", whole.user_buckets)) == ["7"]

    store.experiments.change(lambda _: of_generation("g1"))
    experiments = RedisExperimentStore(urls["gateway"])
    document = experiments.read()
    experiments.halt("test", "new", "It is slow.")
    assert (experiments.read().version, experiments.halts(document)) == (1, {("test", "new"): "It is slow."})
    with pytest.raises(StoreError, match=r"(?i)permission|ACL"):
        experiments.change(lambda _: of_generation("g1", ramp=0.5))
    experiments.close()

    generations = RedisGenerationStore(urls["gateway"])
    assert [each.id for each in list_generations(generations)] == ["g1"]
    generations.close()

    runs = RedisRunStore(urls["gateway"])
    assert runs.read()["train"] == []
    with pytest.raises(StoreError, match=r"(?i)permission|ACL"):
        runs.write(RUN)
    runs.close()


@pytest.mark.parametrize("role", ["model", "gateway"])
def test_serving_users_follow_aliases(store: Store, urls: dict[str, str], role: str) -> None:
    """They read aliases, manifests, parts, items and counts, receive announcements, and use the process registry."""
    store.publish("g1")
    store.generations.promote("g1")
    generations, registry, items, counts = (
        RedisGenerationStore(urls[role]),
        RedisProcessRegistry(urls[role]),
        RedisItemReader(urls[role]),
        RedisCountReader(urls[role]),
    )
    store.add(click("a", time.time() - 7_200))
    assert counts.read().by_hour.totals.tolist() == [0, 1]
    generations.ping()
    assert generations.alias("live") == "g1"
    text = generations.read_manifest("g1")
    assert text is not None
    for name, part in manifest("g1").parts.items():
        assert sum(map(len, generations.read_part("g1", name, part.bytes))) == part.bytes
    assert items.changes(NOTHING_PUT) is NOTHING_PUT
    registry.announce(Announcement(f"{role} here 1", role, ("g1",)))
    assert [process.role for process in registry.processes()] == [role]
    assert is_notified(registry, lambda: store.generations.promote("g1") and store.client.publish("aliases", "live g1"))
    registry.withdraw(f"{role} here 1")
    store.experiments.change(lambda _: of_generation("g1"))
    experiments = RedisExperimentStore(urls[role])
    assert (experiments.read().version, experiments.read()) == (1, store.experiments.read())
    experiments.close()
    for each in (generations, registry, items, counts):
        each.close()


OTHERS = {
    "model": [
        "SET alias:live g9",
        "SET gen:g1:manifest x",
        "HGET gen:g1:users:0 7",
        "LRANGE user:7:events 0 -1",
        "SET experiments x",
    ],
    "gateway": [
        "SET alias:live g9",
        "UNLINK gen:g1:manifest",
        "UNLINK gen:g1:users:0",
        "SET trending x",
        "SET experiments x",
        "SET experiments:version 9",
    ],
    "flows": ["RPUSH user:7:events x", "XTRIM events MAXLEN 0", "HSET item:a id x", "SET items:version 9"],
}
ADMINISTRATION = ["FLUSHALL", "CONFIG GET *", "KEYS *", "ACL LIST", "MODULE LIST", "SCRIPT FLUSH", "SHUTDOWN"]


@pytest.mark.parametrize("role", OTHERS)
def test_other_rights_are_refused(store: Store, urls: dict[str, str], role: str) -> None:
    """Administrative commands are refused to all users, also inside a script."""
    store.publish("g1")
    with redis.Redis.from_url(urls[role]) as client:
        for command in OTHERS[role] + ADMINISTRATION:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split(" "))
        script = "return redis.call('SET', 'alias:live', 'g9')" if role != "flows" else "return redis.call('FLUSHALL')"
        with pytest.raises(redis.exceptions.RedisError, match=r"(?i)permission|ACL"):
            client.eval(script, 0)
    assert store.client.get("alias:live") is None


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_transaction_survives_a_restart(tmp_path: Path, kind: str) -> None:
    """Redis reads its append-only file as the default user, which has rights but no login."""
    binary = valkey_binary() if kind == "valkey" else REDIS.find()
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
