"""A real Prometheus scrapes a deployment under load: every panel of every dashboard has data."""

import itertools
import json
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from recsys.experiments import changes
from recsys.experiments.definition import checked
from recsys.flow_names import FLOWS
from recsys.store import RedisGenerationStore
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.redis.run_store import RedisRunStore
from recsys.store.run_record import COMPLETED, MEDIAN_OF, RunFigures, RunRecord
from recsys.store.stored_types import Trending
from tandem_client import Client
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from tests.servers.prometheus import DASHBOARDS, Prometheus, program, queries
from tests.servers.store_server import StoreServer

EXPERIMENT = {
    "name": "pace",
    "audience": {"surfaces": ["default"]},
    "arms": {"new": {"share": 0.5, "mode": "realtime"}},
}
DRIFT = {f"{against}/score": (0.05, 0.3, 0) for against in ("training", "week")}

TRENDING = tuple((f"{category}-{number}", 1.0) for category in tiny.CATEGORIES for number in range(10))


@pytest.fixture
def observed(tiny_world, tmp_path):
    """Gateway, retrieval and ranking with a running experiment and records of flows."""
    program("prometheus")
    server = StoreServer(tmp_path / "store").start()
    tiny.publish(tiny_world[0], RedisGenerationStore(server.url))
    store = RedisExperimentStore(server.url)
    store.change(lambda document: changes.create(document, checked(EXPERIMENT), 0.0))
    store.change(lambda document: changes.start(document, "pace", 0.0))
    store.change(lambda document: changes.ramp(document, "pace", 1.0, 0.0))
    RedisFlowStore(server.url).write_trending(Trending(time.time(), TRENDING))
    runs, now = RedisRunStore(server.url), time.time()
    figures = RunFigures(9, 5, quality=0.2, drift=DRIFT, skew={"feature.age": 0.0})
    for flow, number in itertools.product(FLOWS, range(MEDIAN_OF + 1)):
        start = now - 60 * (number + 1)
        runs.write(RunRecord(flow, str(number), "command", start, 3600, COMPLETED, start + 30, figures))
    with Deployment(tmp_path, tmp_path / "service.log", REDIS_URL=server.url, TANDEM_DEADLINE_MS="10000") as running:
        yield running
    server.stop()


def send(url, ended):
    """Send requests of each verb, one after another, until the end."""
    with Client(url, deadline=30) as client:
        for number in itertools.count():
            if ended.wait(0.05):
                return
            user = number % 50
            client.recommend(user)
            client.recommend(user, mode="batch")
            client.rank(["drama-1", "drama-2"], user_id=user)
            client.similar("drama-1")
            client.explain(user, "drama-1")
            client.add_events([{"user_id": user, "item_id": "drama-1"}])


@pytest.fixture
def load(observed):
    """Requests to the deployment during the test."""
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send, observed.url, ended)
        yield
        ended.set()
        sending.result()


def empty(prometheus):
    """The queries of the dashboards that return no number."""
    return {
        f"{path.stem}: {title}: {expr}"
        for path in DASHBOARDS.glob("*.json")
        for title, expr in queries(json.loads(path.read_text()))
        if not any(map(math.isfinite, prometheus.values(expr.replace("$__rate_interval", "1m"))))
    }


def test_every_panel_has_data(observed, load, tmp_path):
    """Each query of the dashboards returns a number within a minute while requests of each verb are sent."""
    with Prometheus(tmp_path / "prometheus", f"127.0.0.1:{observed.port}") as prometheus:
        end = time.monotonic() + 60
        while (without := empty(prometheus)) and time.monotonic() < end:
            time.sleep(1)
        assert not without
        failed = prometheus.values('sum by (code) (tandem_request_seconds_count{verb="recommend",code!~"200|OK"})')
        assert failed == [0] * 4, "the first failure is no increase of a counter that does not exist"
