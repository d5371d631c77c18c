"""The data and the actions of the page /operations over a real deployment: figures, refusals, Prefect away."""

import time

import httpx
import pytest

from recsys.store import RedisGenerationStore
from recsys.store.redis.run_store import RedisRunStore
from recsys.store.run_record import COMPLETED, RunFigures, RunRecord
from service.operations.shared_reader import KEPT_SECONDS
from tests.sample_data import tiny
from tests.servers.deployment import Deployment, free_port, wait_for
from tests.servers.store_server import StoreServer

REQUESTS = 60
ACTIONS = ("/operations/promote", "/operations/rollback")


@pytest.fixture(scope="module")
def world(tiny_world, tmp_path_factory):
    """A deployment whose Prefect server is away, and its store."""
    home = tmp_path_factory.mktemp("operations")
    server = StoreServer(home / "store").start()
    live = tiny.publish(tiny_world[0], RedisGenerationStore(server.url))
    url = f"http://127.0.0.1:{free_port()}/api"
    more = {"TANDEM_TOPOLOGY": "inline", "PREFECT_API_URL": url}
    with Deployment(home, home / "log", REDIS_URL=server.url, **more) as running:
        yield running, live, server
    server.stop()


@pytest.fixture
def client(world):
    """A client of the deployment."""
    with httpx.Client(base_url=world[0].url, timeout=30) as opened:
        yield opened


def overview(client):
    """The answer of /operations/overview."""
    return client.get("/operations/overview").raise_for_status().json()


def test_the_last_hour_has_every_request(client):
    """The rates times their times are the requests; percentiles are in order, and the limit is in force."""
    before = overview(client)["hour"]["minutes"]
    counted = sum(each["rate"] * each["seconds"] for each in before)
    wait_for(lambda: len(overview(client)["hour"]["minutes"]), 40)
    for _ in range(REQUESTS):
        client.post("/recommend", json={"user_id": 1, "k": 5}).raise_for_status()
    assert client.post("/recommend", json={"user_id": 1, "k": -1}).status_code == 422

    def all_counted():
        minutes = overview(client)["hour"]["minutes"]
        return sum(each["rate"] * each["seconds"] for each in minutes) >= counted + REQUESTS + 1 - 1e-6

    wait_for(all_counted, 40, 0.5)
    recent = overview(client)["hour"]["recent"]
    assert recent["recommend"]["failed"] == recent["recommend"]["lacking"] == 0
    assert 0 < recent["recommend"]["p50"] <= recent["recommend"]["p95"] <= recent["recommend"]["p99"]
    assert 0 < recent["recommend"]["in_flight"] < 1
    assert recent["recommend"]["limit"] >= 32
    assert recent["explain"]["p50"] is None


def test_the_overview_has_what_is_live_and_what_flows_left(client, world):
    """The generation, its holders and age, and the last run of a flow beside its promise."""
    _, live, server = world
    now = time.time()
    store = RedisRunStore(server.url)
    store.write(RunRecord("refresh", "one", "often", now - 2_000, 60.0, COMPLETED, now - 1_990, RunFigures(rows_out=7)))
    store.close()
    time.sleep(KEPT_SECONDS)
    found = overview(client)
    assert found["status"]["generation"] == found["status"]["live"] == live
    assert all(each["held"] == [live] for each in found["status"]["processes"])
    assert found["gateways"] == 1
    (flow,) = found["stored"]["flows"]
    assert (flow["flow"], flow["deployment"], flow["rows"]) == ("refresh", "often", 7)
    assert flow["late"]
    assert flow["last_success"] == pytest.approx(now - 1_990)
    ages = {each["part"]: each for each in found["ages"]}
    assert 0 < found["at"] - ages["model"]["made"] < 3_600 * 24
    assert ages["refresh"] == {"part": "refresh", "made": flow["last_success"], "promised": flow["promised"]}
    assert ages["trending"]["made"] is None
    (generation,) = found["stored"]["generations"]
    assert (generation["id"], generation["aliases"]) == (live, ["live"])


@pytest.mark.parametrize("path", ACTIONS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"host": "[::1"}, 403),
        ({"host": "elsewhere.example"}, 403),  # its owner changed its address to 127.0.0.1
        ({"content-type": "text/plain"}, 415),
        ({"content-type": None}, 415),
        ({"sec-fetch-site": "same-origin"}, 503),  # Prefect is away
        ({"host": "localhost"}, 503),
    ],
)
def test_a_page_of_another_site_starts_nothing(client, path, headers, status):
    """Only a page of this server, or a program, may send the request, and as JSON."""
    request = client.build_request("POST", path, content=b'{"generation": "g1", "confirm": "g1"}')
    request.headers["content-type"] = "application/json"
    for name, value in headers.items():
        if value is None:
            del request.headers[name]
        else:
            request.headers[name] = value
    answer = client.send(request)
    assert answer.status_code == status, answer.text
    if status == 503:
        assert "Prefect does not answer at http://127.0.0.1:" in answer.json()["error"]["message"]


def test_the_overview_says_that_the_store_is_away(client, world):
    """What this process has is shown; what the store has is absent, with the reason."""
    world[2].stop()
    time.sleep(KEPT_SECONDS)
    found = overview(client)
    assert found["stored"] is None
    assert "answer" in found["status"]["store"]
    assert found["status"]["generation"] == world[1]
    assert found["hour"]["recent"]
