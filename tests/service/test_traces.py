"""Traces of a whole deployment: three processes, one trace."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest

from recsys.store import RedisGenerationStore
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.grpc.tandem.v1.recommender_pb2_grpc import RecommenderStub
from tests import tiny
from tests.deployment import Deployment
from tests.server import Server

ABOVE = "00-{trace}-b7ad6b7169203331-01"
WHO = "mary@example.com"


class Asked:
    """What a deployment was asked, and the spans that it left, by trace."""

    def __init__(self):
        self.answers, self.spans = {}, {}

    def read(self, log):
        for line in log.read_text(encoding="utf-8").splitlines():
            if line.startswith('{"name"'):
                span = json.loads(line)
                self.spans.setdefault(span["context"]["trace_id"].removeprefix("0x"), []).append(span)

    def tree(self, number):
        """The spans of a trace as pairs of service and name, by the pair of what each stands below."""
        spans = {span["context"]["span_id"]: span for span in self.spans[trace(number)]}
        pairs = {key: (span["resource"]["attributes"]["service.name"], span["name"]) for key, span in spans.items()}
        return {pairs[key]: pairs.get(span["parent_id"], span["parent_id"]) for key, span in spans.items()}

    def request(self, number):
        """The span that stands below the caller's."""
        return next(span for span in self.spans[trace(number)] if span["parent_id"] == "0xb7ad6b7169203331")


def trace(number):
    return f"{number:032x}"


def headers(number):
    return {"traceparent": ABOVE.format(trace=trace(number))}


@pytest.fixture(scope="module")
def asked(tiny_world, tmp_path_factory):
    """A deployment that was asked one of each, and has ended: the last spans are exported as it stops."""
    home = tmp_path_factory.mktemp("traced")
    server, told = Server(home / "store").start(), Asked()
    tiny.publish(tiny_world[0], RedisGenerationStore(server.url))
    tracing = {"OTEL_TRACES_EXPORTER": "console", "TANDEM_MAX_UNDER_WAY": "1", "TANDEM_DEADLINE_MS": "5000"}
    running = Deployment(home, home / "service.log", REDIS_URL=server.url, **tracing)
    slate = {"user_id": WHO, "mode": "realtime"}
    with running, httpx.Client(base_url=running.url, timeout=30) as client:
        told.answers[1] = client.post("/recommend", json=slate, headers=headers(1)).json()
        client.post("/recommend", json=slate | {"k": 0}, headers=headers(2))
        client.post("/similar", json={"item_id": "comedy-1"}, headers=headers(3))
        client.post("/recommend", json=slate)  # a trace of its own
        client.post("/recommend", json=slate, headers={"traceparent": headers(4)["traceparent"][:-1] + "0"})
        with grpc.insecure_channel(running.grpc) as channel:
            ask = RecommenderStub(channel).Recommend
            request = pb.RecommendRequest(user_id=pb.Id(text=WHO), mode="realtime")
            ask(request, metadata=headers(5).items(), timeout=30)
            with pytest.raises(grpc.RpcError):
                ask(pb.RecommendRequest(user_id=pb.Id(text=WHO), k=0), metadata=headers(6).items(), timeout=30)
        client.get(f"/users/{WHO}", headers=headers(7))
        with ThreadPoolExecutor(20) as pool:
            ask = lambda number: httpx.post(f"{running.url}/recommend", json=slate, headers=headers(number), timeout=30)  # noqa: E731
            told.codes = {
                number: answer.status_code
                for number, answer in zip(range(100, 200), pool.map(ask, range(100, 200)), strict=True)
            }
        server.kill()
        time.sleep(0.5)
        told.answers[8] = client.post("/recommend", json=slate, headers=headers(8)).json()
        client.post("/events", json={"events": [{"user_id": WHO, "item_id": "comedy-1"}]}, headers=headers(9))
    server.stop()
    told.read(running.log)
    return told


GATEWAY, RETRIEVAL, RANKING = "tandem-gateway", "tandem-retrieval", "tandem-ranking"


@pytest.mark.parametrize(("number", "name"), [(1, "POST /recommend"), (5, "tandem.v1.Recommender/Recommend")])
def test_a_request_is_one_trace_through_three_processes(asked, number, name):
    """Below the span that the caller named, at either door."""
    door = (GATEWAY, name)
    assert asked.tree(number) == {
        door: "0xb7ad6b7169203331",
        (GATEWAY, "hydrate"): door,
        (GATEWAY, "retrieve"): door,
        (RETRIEVAL, "retrieval/retrieve"): (GATEWAY, "retrieve"),
        (GATEWAY, "rank"): door,
        (RANKING, "ranking/rank"): (GATEWAY, "rank"),
    }
    request = asked.request(number)
    assert request["attributes"]["tandem.generation"] == asked.answers[1]["generation"]
    assert request["attributes"]["tandem.mode"] == "realtime"
    assert request["attributes"]["tandem.degraded"] == []
    assert {span["status"]["status_code"] for span in asked.spans[trace(number)]} == {"UNSET"}


def test_likes_are_asked_of_retrieval(asked):
    """In the same trace."""
    tree = asked.tree(3)
    assert tree[RETRIEVAL, "retrieval/similar"] == (GATEWAY, "similar")
    assert tree[GATEWAY, "similar"] == (GATEWAY, "POST /similar")


def test_who_names_no_span_begins_a_trace_and_who_samples_none_has_none(asked):
    """By the sampler's default."""
    assert trace(4) not in asked.spans
    own = [spans for spans in asked.spans.values() if any(span["parent_id"] is None for span in spans)]
    assert [len(spans) for spans in own] == [6]


def test_statuses_are_the_answers(asked):
    """What the caller did wrong and what came too much is no error; a store that is away is."""
    for number, key, code in (
        (2, "http.response.status_code", 422),
        (6, "rpc.response.status_code", "INVALID_ARGUMENT"),
        (7, "http.response.status_code", 200),
    ):
        assert asked.request(number)["attributes"][key] == code
        assert asked.request(number)["status"]["status_code"] == "UNSET"
    failed = asked.request(9)
    assert failed["attributes"]["http.response.status_code"] == 503
    assert failed["status"]["status_code"] == "ERROR"


def test_what_is_turned_away_is_a_span_of_its_own(asked):
    """429, no error, and no stage below."""
    away = [number for number, code in asked.codes.items() if code == 429]
    assert away
    for number in away:
        (span,) = asked.spans[trace(number)]
        assert span["attributes"]["http.response.status_code"] == 429
        assert span["status"]["status_code"] == "UNSET"
    assert all(len(asked.spans[trace(number)]) == 6 for number, code in asked.codes.items() if code == 200)


def test_a_degraded_answer_says_so_and_why(asked):
    """The request was answered; its stage is the error."""
    assert asked.answers[8]["degraded"] == ["store"]
    request = asked.request(8)
    assert request["attributes"]["tandem.degraded"] == ["store"]
    assert request["status"]["status_code"] == "UNSET"
    hydrate = next(span for span in asked.spans[trace(8)] if span["name"] == "hydrate")
    assert hydrate["status"]["status_code"] == "ERROR"


def test_nobody_is_named(asked):
    """Neither a user nor what was asked for."""
    text = json.dumps(asked.spans)
    assert "mary" not in text
    assert "comedy-1" not in text
