"""Records the metrics of a healthy deployment under requests, from which a test makes a day.

`python -m tests.sample_data.healthy_metrics` starts a deployment over the tiny generation, sends requests of each verb
and mode for three minutes, and writes what each series of /metrics was at the start and at the end, with the seconds
between. Run it on a machine without other work, after a change of the names of metrics.
"""

from __future__ import annotations

import gzip
import itertools
import json
import re
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from recsys.lists.user_list import UserList
from recsys.store import RedisGenerationStore
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.stored_types import Trending
from tandem_client import Client
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from tests.servers.store_server import StoreServer

FILE = Path(__file__).with_name("healthy_metrics.json.gz")
SECONDS, PAUSE, USERS = 180.0, 0.05, 50


def scrape(url: str) -> dict[str, float]:
    """The value of each series of Tandem."""
    text = httpx.get(f"{url}/metrics", timeout=30).text
    return {name: float(value) for name, value in re.findall(r"^(tandem_\S+) (\S+)$", text, re.MULTILINE)}


def prepare(store: str, home: Path) -> None:
    """Publish a generation, and write lists and trending items."""
    folder, flows = tiny.generation(home / "tiny")[0], RedisFlowStore(store)
    tiny.publish(folder, RedisGenerationStore(store))
    rows, nothing = np.arange(40, dtype=np.int32), np.zeros(40, np.uint16)
    listed = UserList(time.time(), 0, rows, nothing, nothing.astype(np.float32)).pack()
    flows.write_lists(folder.manifest.id, folder.manifest.user_buckets, dict.fromkeys(map(str, range(USERS)), listed))
    flows.write_trending(Trending(time.time(), tuple((f"drama-{number}", 1.0) for number in range(20))))


def send(client: Client, number: int) -> None:
    """A request of each verb and mode, of one user after the other."""
    user = number % USERS
    for mode in ("auto", "batch", "hybrid", "realtime"):
        client.recommend(user, mode=mode)
        time.sleep(PAUSE)
    client.rank(["drama-1", "drama-2"], user_id=user)
    client.similar("drama-1")
    client.explain(user, "drama-1")
    client.add_events([{"user_id": f"visitor-{number}", "item_id": f"drama-{number % 25}"}])
    time.sleep(PAUSE)


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        server = StoreServer(home / "store").start()
        prepare(server.url, home)
        with (
            Deployment(home, home / "service.log", REDIS_URL=server.url) as running,
            Client(running.url, deadline=30) as client,
        ):
            for number in range(20):
                send(client, number)
            first, start = scrape(running.url), time.monotonic()
            for number in itertools.count():
                if time.monotonic() - start > SECONDS:
                    break
                send(client, number)
            last, seconds = scrape(running.url), time.monotonic() - start
        server.stop()
    series = {name: [first.get(name, 0.0), value] for name, value in sorted(last.items())}
    text = json.dumps({"seconds": seconds, "series": series}, indent=0).encode()
    FILE.write_bytes(gzip.compress(text, mtime=0))


if __name__ == "__main__":
    main()
