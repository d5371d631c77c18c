"""A backup of the store in an empty server: a deployment on it gives the same answers as the first one."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys.experiments import changes
from recsys.experiments.definition import checked
from recsys.store.redis.redis_experiments import RedisExperimentStore
from tests.judged_load.expected_slates import UNCOUNTED_AGE
from tests.judged_load.served_pair import USERS, GenerationPair, ServedPair
from tests.servers.debian_program import REDIS_CLI
from tests.servers.deployment import Deployment
from tests.servers.store_server import StoreServer

DEPLOY = Path(__file__).parents[3] / "deploy" / "redis"

SETTINGS = {"TANDEM_DEADLINE_MS": "4000", "TANDEM_TOPOLOGY": "inline"}
"""Other tests run on the same cores, and a start with one process costs less."""


def back_up(server: StoreServer, file: Path) -> None:
    """Take a backup as the user `replica` of users.acl, as docs/deploy.md describes."""
    if (program := REDIS_CLI.find()) is None:
        pytest.skip("needs redis-cli")
    (rights,) = (line for line in (DEPLOY / "users.acl").read_text().splitlines() if line.startswith("user replica "))
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "replica", *rights.split()[2:], ">secret")
    command = [str(program), "-p", str(server.port), "--user", "replica", "--rdb", str(file)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "REDISCLI_AUTH": "secret"})


@pytest.fixture
def used(pair: GenerationPair, tmp_path: Path) -> Iterator[ServedPair]:
    """A deployment with events, put items, and an experiment of which an arm has the second generation."""
    with ServedPair(tmp_path / "used", pair, **SETTINGS) as world:
        world.put(pair.second)
        experiments, url = RedisExperimentStore(world.server.url), world.deployment.url
        definition = checked({"name": "new", "arms": {"b": {"share": 0.5, "generation": pair.second.manifest.id}}})
        experiments.change(lambda document: changes.create(document, definition, time.time()))
        experiments.change(lambda document: changes.start(document, "new", time.time()))
        experiments.change(lambda document: changes.ramp(document, "new", 1.0, time.time()))
        experiments.close()
        past = time.time() - UNCOUNTED_AGE  # the answers are compared over the end of a minute
        events = [{"user_id": user, "item_id": "drama-1", "timestamp": past, "event_id": f"e{user}"} for user in USERS]
        assert httpx.post(f"{url}/events", json={"events": events}).status_code == 200
        items = [{"item_id": "drama-2", "available": False}, {"item_id": "new", "title": "New"}]
        assert httpx.put(f"{url}/items", json={"items": items}).status_code == 200
        assert httpx.delete(f"{url}/users/{USERS[1]}").status_code == 200
        yield world


def answers(url: str) -> list[dict[str, Any]]:
    """What clients get: slates, lists of similar items and histories."""
    with httpx.Client(base_url=url, timeout=30) as client:
        replies = [client.post("/recommend", json={"user_id": user, "k": 10}) for user in USERS]
        replies += [client.post("/similar", json={"item_id": "drama-1"})]
        replies += [client.get(f"/users/{user}") for user in USERS]
    assert {reply.status_code for reply in replies} == {200}
    return [{name: value for name, value in reply.json().items() if name != "freshness"} for reply in replies]


def test_a_restored_store_gives_the_same_answers(used: ServedPair, tmp_path: Path) -> None:
    """Users with events, put items, experiments, generations and deletions are in the backup."""
    backup, folder = tmp_path / "backup.rdb", tmp_path / "restored"
    back_up(used.server, backup)
    restore = [str(DEPLOY / "restore.sh"), str(backup), str(folder)]
    cut = tmp_path / "cut.rdb"
    cut.write_bytes(backup.read_bytes()[:-40])
    refused = subprocess.run([restore[0], str(cut), str(folder)], capture_output=True, text=True)
    assert (refused.returncode, "is cut off" in refused.stderr) == (1, True)
    subprocess.run(restore, check=True)
    assert subprocess.run(restore, capture_output=True).returncode == 1  # not over the data of another server
    restored = StoreServer(folder).start()
    with Deployment(tmp_path / "home", tmp_path / "log", REDIS_URL=restored.url, **SETTINGS) as deployment:
        deployment.wait_until_ready()
        time.sleep(2)
        expected, got = answers(used.deployment.url), answers(deployment.url)
        assert got == expected
    restored.stop()
