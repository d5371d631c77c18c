"""Traces of a deployment: three processes, one trace."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import httpx
import pytest

from recsys.experiments import changes
from recsys.experiments.definition import checked
from recsys.store import RedisGenerationStore
from recsys.store.redis.redis_experiments import RedisExperimentStore
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.grpc.tandem.v1.recommender_pb2_grpc import RecommenderStub
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from tests.servers.store_server import StoreServer

ABOVE = "00-{trace}-b7ad6b7169203331-01"
WHO = "mary@example.com"
EXPERIMENT = {"name": "look", "arms": {"few": {"share": 0.5, "candidates": 50}}}


class Recorded:
    """The answers of a deployment, and its spans by trace."""

    def __init__(self):
        self.answers, self.spans = {}, {}

    def read(self, log):
        for line in log.read_text(encoding="utf-8").splitlines():
            if line.startswith('{"name"'):
                span = json.loads(line)
                self.spans.setdefault(span["context"]["trace_id"].removeprefix("0x"), []).append(span)

    def tree(self, number):
        """The spans of a trace as pairs of service and name, each with the pair of its parent."""
        spans = {span["context"]["span_id"]: span for span in self.spans[trace(number)]}
        pairs = {key: (span["resource"]["attributes"]["service.name"], span["name"]) for key, span in spans.items()}
        return {pairs[key]: pairs.get(span["parent_id"], span["parent_id"]) for key, span in spans.items()}

    def request(self, number):
        """The span below the caller's."""
        return next(span for span in self.spans[trace(number)] if span["parent_id"] == "0xb7ad6b7169203331")


def trace(number):
    return f"{number:032x}"


def headers(number):
    return {"traceparent": ABOVE.format(trace=trace(number))}


@pytest.fixture(scope="module")
def recorded(tiny_world, tmp_path_factory):
    """A deployment that answered requests and has ended: the last spans are exported as it stops."""
    home = tmp_path_factory.mktemp("traced")
    server, record = StoreServer(home / "store").start(), Recorded()
    tiny.publish(tiny_world[0], RedisGenerationStore(server.url))
    store = RedisExperimentStore(server.url)
    store.change(lambda document: changes.create(document, checked(EXPERIMENT), 0.0))
    store.change(lambda document: changes.start(document, "look", 0.0))
    store.change(lambda document: changes.ramp(document, "look", 1.0, 0.0))
    tracing = {"OTEL_TRACES_EXPORTER": "console", "TANDEM_MAX_UNDER_WAY": "4", "TANDEM_DEADLINE_MS": "5000"}
    running = Deployment(home, home / "service.log", REDIS_URL=server.url, **tracing)
    slate = {"user_id": WHO, "mode": "realtime"}
    with running, httpx.Client(base_url=running.url, timeout=30) as client:
        record.answers[1] = client.post("/recommend", json=slate, headers=headers(1)).json()
        client.post("/recommend", json=slate | {"k": 0}, headers=headers(2))
        client.post("/similar", json={"item_id": "comedy-1"}, headers=headers(3))
        client.post("/recommend", json=slate)  # a trace of its own
        record.odd = client.post("/recommend", json=slate, headers={"traceparent": b"\xff\\"}).status_code
        client.post("/recommend", json=slate, headers={"traceparent": headers(4)["traceparent"][:-1] + "0"})
        with grpc.insecure_channel(running.grpc) as channel:
            recommend = RecommenderStub(channel).Recommend
            request = pb.RecommendRequest(user_id=pb.Id(text=WHO), mode="realtime")
            recommend(request, metadata=headers(5).items(), timeout=30)
            with pytest.raises(grpc.RpcError):
                recommend(pb.RecommendRequest(user_id=pb.Id(text=WHO), k=0), metadata=headers(6).items(), timeout=30)
        odd = {"user-agent": WHO, "baggage": f"who={WHO}", "tracestate": "shop=a"}
        client.get(f"/users/{WHO}?who={WHO}", headers=headers(7) | odd)
        client.get(f"/nothing/{WHO}?who={WHO}", headers=headers(11) | odd)
        with ThreadPoolExecutor(20) as pool:
            post = partial(httpx.post, f"{running.url}/recommend", json=slate, timeout=30, verify=False)
            codes = pool.map(lambda number: post(headers=headers(number)), range(100, 200))
            record.codes = {number: answer.status_code for number, answer in zip(range(100, 200), codes, strict=True)}
        server.kill()
        time.sleep(0.5)
        record.answers[8] = client.post("/recommend", json=slate, headers=headers(8)).json()
        client.post("/events", json={"events": [{"user_id": WHO, "item_id": "comedy-1"}]}, headers=headers(9))
        event = pb.AddEventsRequest(events=[pb.Event(user_id=pb.Id(text=WHO), item_id=pb.Id(text="comedy-1"))])
        with grpc.insecure_channel(running.grpc) as channel, pytest.raises(grpc.RpcError):
            RecommenderStub(channel).AddEvents(event, metadata=headers(10).items(), timeout=30)
    server.stop()
    record.read(running.log)
    return record


GATEWAY, RETRIEVAL, RANKING = "tandem-gateway", "tandem-retrieval", "tandem-ranking"


@pytest.mark.parametrize(("number", "name"), [(1, "POST /recommend"), (5, "tandem.v1.Recommender/Recommend")])
def test_a_request_is_one_trace_through_three_processes(recorded, number, name):
    """Below the span of the caller, at either door."""
    door = (GATEWAY, name)
    assert recorded.tree(number) == {
        door: "0xb7ad6b7169203331",
        (GATEWAY, "hydrate"): door,
        (GATEWAY, "retrieve"): door,
        (RETRIEVAL, "POST /retrieve"): (GATEWAY, "retrieve"),
        (GATEWAY, "rank"): door,
        (RANKING, "POST /rank"): (GATEWAY, "rank"),
    }
    request = recorded.request(number)
    assert request["attributes"]["tandem.generation"] == recorded.answers[1]["generation"]
    assert request["attributes"]["tandem.mode"] == "realtime"
    assert request["attributes"]["tandem.surface"] == "default"
    assert request["attributes"]["tandem.degraded"] == []
    [arm] = request["attributes"]["tandem.arms"]
    assert arm == f"look={recorded.answers[1]['arms']['look']}"
    assert {span["status"]["status_code"] for span in recorded.spans[trace(number)]} == {"UNSET"}


def test_a_caller_without_a_trace_starts_one_and_an_unsampled_trace_has_no_spans(recorded):
    """A traceparent that is no text counts as none. Warm-ups, probes and impressions start no trace."""
    assert trace(4) not in recorded.spans
    own = [spans for spans in recorded.spans.values() if any(span["parent_id"] is None for span in spans)]
    assert [len(spans) for spans in own] == [6, 6]
    assert recorded.odd == 200


def test_only_errors_of_the_deployment_are_errors_of_the_span(recorded):
    """A wrong request is none; an unavailable store is. No span has the text of an error."""
    for number, key, code in (
        (2, "http.response.status_code", 422),
        (6, "rpc.response.status_code", "INVALID_ARGUMENT"),
        (7, "http.response.status_code", 200),
    ):
        assert recorded.request(number)["attributes"][key] == code
        assert recorded.request(number)["status"]["status_code"] == "UNSET"
    for number, key, code in ((9, "http.response.status_code", 503), (10, "rpc.response.status_code", "UNAVAILABLE")):
        failed = recorded.request(number)
        assert failed["attributes"][key] == code
        assert failed["status"] == {"status_code": "ERROR"}
        assert failed["events"] == []


def test_under_load_requests_share_the_spans_of_their_batches(recorded):
    """Each answered request has three stages below it, or links to them; a refused one has its own span only."""
    assert set(recorded.codes.values()) == {200, 429}
    stages = {}
    for spans in recorded.spans.values():
        stages |= {span["context"]["span_id"]: span["name"] for span in spans if span["kind"] != "SpanKind.SERVER"}
    merged = 0
    for number, code in recorded.codes.items():
        request = recorded.request(number)
        linked = [stages[link["context"]["span_id"]] for link in request["links"]]
        below = [span["name"] for span in recorded.spans[trace(number)] if span["parent_id"] == _id(request)]
        found = sorted(linked + below)
        if found[:2] == ["hydrate", "hydrate"]:
            found = found[1:]  # it looked for the user's list first
        assert found in ([["hydrate", "rank", "retrieve"]] if code == 200 else [[], ["hydrate"]])
        assert request["attributes"]["http.response.status_code"] == code
        assert request["status"]["status_code"] == "UNSET"
        merged += bool(linked)
    assert merged


def test_no_span_has_personal_data(recorded):
    """No user, no item, no address of a client: of a path, a query, a body or a header."""
    assert [recorded.request(number)["name"] for number in (7, 11)] == ["GET /users/{user_id}", "GET"]
    text = json.dumps(recorded.spans).lower()
    assert "mary" not in text
    assert "comedy-1" not in text
    assert "client.address" not in text


def _id(span):
    return span["context"]["span_id"]
