"""The running deployment over gRPC: what any client in any language sees, and the same verdict as over HTTP."""

import json
import time

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tandem_client import Client
from tandem_client.messages import request_of

SERVICE = "tandem.v1.Recommender"


class Reflected:
    """A client that knows nothing but an address, as grpcurl: it asks the server what there is."""

    def __init__(self, channel):
        self._channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self._service = DescriptorPool(self.database).FindServiceByName(SERVICE)

    def method(self, verb):
        """What calls a verb, and the message it takes."""
        described = self._service.methods_by_name[verb]
        takes, gives = GetMessageClass(described.input_type), GetMessageClass(described.output_type)
        call = self._channel.unary_unary(f"/{SERVICE}/{verb}", takes.SerializeToString, gives.FromString)
        return call, takes

    def ask(self, verb, **told):
        """The answer as JSON."""
        call, takes = self.method(verb)
        return MessageToDict(call(ParseDict(told, takes()), timeout=10), preserving_proto_field_name=True)


@pytest.fixture(scope="module")
def channel(deployment):
    with grpc.insecure_channel(deployment.grpc) as opened:
        yield opened


@pytest.fixture(scope="module")
def reflected(channel):
    return Reflected(channel)


@pytest.fixture(scope="module")
def web(deployment):
    with httpx.Client(base_url=deployment.url, timeout=30) as opened:
        yield opened


def text(name):
    return {"text": name}


def test_the_line_that_says_ready_names_both_doors(deployment):
    """Whoever reads it has what a client is given."""
    end = time.monotonic() + 10
    while "ready after" not in deployment.log.read_text():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert f" s at {deployment.url} and grpc://{deployment.grpc} (Ctrl-C stops)" in deployment.log.read_text()


def test_the_services_are_listed(reflected):
    """What `grpcurl list` shows."""
    assert {SERVICE, "grpc.health.v1.Health"} <= set(reflected.database.get_services())


def test_recommend_similar_and_explain_by_reflection(reflected, published):
    """Slates, likes and reasons, from the live generation."""
    slates = reflected.ask("Recommend", user_ids=[{"number": 4}, text("stranger")], k=3)["slates"]
    assert [len(slate["items"]) for slate in slates] == [3, 3]
    assert {slate["generation"] for slate in slates} == {published}
    [first, *_] = reflected.ask("Recommend", user_id={"number": 4}, k=3)["slates"][0]["items"]
    assert first["item_id"]["text"].split("-")[0] in {"action", "comedy", "drama"}
    likes = reflected.ask("Similar", item_id=text("drama-1"), k=5)
    assert sum(item["item_id"]["text"].startswith("drama") for item in likes["items"]) >= 4
    why = reflected.ask("Explain", user_id={"number": 4}, item_id=first["item_id"])
    assert why["place"] == 1
    assert why["reason"].endswith(".")


def test_a_user_is_written_shown_and_forgotten_by_reflection(reflected):
    """What goes in by one verb is seen by the next."""
    you = text("grpc-user")
    event = {"user_id": you, "item_id": text("drama-3"), "event_id": "e1"}
    assert reflected.ask("AddEvents", events=[event, event])["stored"] == 1
    [slate] = reflected.ask("Recommend", user_id=you)["slates"]
    assert slate["history"] == 1
    assert [each["item_id"] for each in reflected.ask("GetUser", user_id=you)["events"]] == [text("drama-3")]
    assert reflected.ask("ForgetUser", user_id=you)["forgotten"] is True
    assert "events" not in reflected.ask("GetUser", user_id=you)


def test_items_are_put_by_reflection(reflected):
    """Over gRPC an item goes where it goes over HTTP."""
    item = {"item_id": text("grpc-drama"), "title": "New", "columns": {"year": {"number": 1999}}}
    assert reflected.ask("PutItems", items=[item])["new"] == 1
    hidden = {"item_id": text("grpc-drama"), "available": False}
    assert reflected.ask("PutItems", items=[hidden])["stored"] == 1


def test_status_by_reflection(reflected, web):
    """The same as over HTTP, free data included."""
    status, other = reflected.ask("Status"), web.get("/status").json()
    for key in ("ready", "generation", "live", "topology", "data", "metrics"):
        assert status[key] == other[key]


def test_health_says_serving_when_the_gateway_is_ready(channel):
    """Check and Watch, for load balancers and Kubernetes."""
    health = health_pb2_grpc.HealthStub(channel)
    watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING


WRONG = [
    ("Recommend", "POST", "/recommend", {"user_id": ""}),
    ("Recommend", "POST", "/recommend", {"user_id": "x" * 257}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "user_ids": ["me"]}),
    ("Recommend", "POST", "/recommend", {"user_ids": ["me"] * 101}),
    ("Recommend", "POST", "/recommend", {"user_ids": ["me"], "session": [{"item_id": "drama-1"}]}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "k": 0}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "k": -1}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "k": 10**9}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "session": [{}]}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "exclude": ["a"] * 1001}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "context": {"devise": "mobile"}}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "context": {"": "mobile"}}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "filter": {"genre": []}}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "filter": {"colour": ["red"]}}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "filter": {"year": {"lt": 5, "gte": 6}}}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "filter": {"year": {}}}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "filter": {"year": ["late"]}}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "filter": {"year": True}}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "filter": {"categories": {"gt": 3}}}),
    ("Explain", "POST", "/explain", {"user_id": "you", "item_id": "drama-1", "filter": {"price": {"gt": 3}}}),
    ("Recommend", "POST", "/recommend", {"user_id": "you", "mode": "magic"}),
    ("Similar", "POST", "/similar", {}),
    ("Similar", "POST", "/similar", {"item_id": "opera-1"}),
    ("Explain", "POST", "/explain", {"user_id": "you"}),
    ("Explain", "POST", "/explain", {"user_id": "you", "item_id": "opera-1"}),
    ("AddEvents", "POST", "/events", {"events": [{"user_id": "you"}]}),
    ("AddEvents", "POST", "/events", {"events": [{"user_id": "you", "item_id": "drama-1", "timestamp": -1}]}),
    ("AddEvents", "POST", "/events", {"events": [{"user_id": "you", "item_id": "drama-1", "timestamp": 9e10}]}),
    ("AddEvents", "POST", "/events", {"events": [{"user_id": "you", "item_id": "drama-1", "event_type": ""}]}),
    ("PutItems", "PUT", "/items", {}),
    ("PutItems", "PUT", "/items", {"items": [{"item_id": "x", "columns": {"colour": "red"}}]}),
    ("PutItems", "PUT", "/items", {"items": [{"item_id": "x", "columns": {"year": "late"}}]}),
    ("PutItems", "PUT", "/items", {"items": [{"item_id": "x", "columns": {"year": True}}]}),
    ("PutItems", "PUT", "/items", {"items": [{"item_id": "x", "title": "t" * 513}]}),
]


@pytest.mark.parametrize(("verb", "method", "path", "body"), WRONG)
def test_a_wrong_request_gets_the_same_verdict_at_both_doors(reflected, web, verb, method, path, body):
    """Code, sentence and field, word for word."""
    answer = web.request(method, path, json=body)
    assert 400 <= answer.status_code < 500, answer.text
    call, takes = reflected.method(verb)
    with pytest.raises(grpc.RpcError) as caught:
        call(takes.FromString(request_of(verb, body).SerializeToString()), timeout=10)
    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    assert json.loads(dict(caught.value.trailing_metadata())["tandem-error-bin"]) == answer.json()["error"]


def test_a_right_request_gets_the_same_answer_at_both_doors(deployment):
    """The same slate, asked for by the same client at either address."""
    with Client(deployment.url) as web, Client(f"grpc://{deployment.grpc}") as rpc:
        for user in (4, "stranger"):
            told, other = web.recommend(user, k=12), rpc.recommend(user, k=12)
            assert [item.item_id for item in told.items] == [item.item_id for item in other.items]
            assert told.generation == other.generation
        session = [{"item_id": "drama-1"}, {"item_id": "opera-1"}]
        told, other = web.recommend(session=session), rpc.recommend(session=session)
        assert (told.user_id, told.history, told.unknown_items) == (None, 1, ["opera-1"])
        assert other.model_copy(update={"items": told.items}) == told
        assert [item.item_id for item in told.items] == [item.item_id for item in other.items]
        for client in (web, rpc):
            why = client.explain(None, told.items[0].item_id, session=session)
            assert (why.user_id, why.place, why.unknown_items) == (None, 1, ["opera-1"])
        assert web.similar("drama-1").items == rpc.similar("drama-1").items
        wanted = {"year": {"gte": 1995, "lt": 2000}, "categories": ["drama", "comedy"]}
        told, other = (client.recommend("stranger", k=20, filter=wanted).items for client in (web, rpc))
        assert [item.item_id for item in told] == [item.item_id for item in other]
        assert {item.item_id for item in told} == {
            f"{name}-{at}" for name in ("drama", "comedy") for at in range(5, 10)
        }
        told, other = (client.similar("drama-1", filter={"year": [1995, 1996]}).items for client in (web, rpc))
        assert told == other
        assert len(told) == 6


def test_a_deadline_of_5_ms_is_kept_by_the_client_and_logged_by_nobody(deployment, reflected):
    """DEADLINE_EXCEEDED there, no traceback here, and the next request is answered as ever."""
    call, takes = reflected.method("Recommend")
    ask = ParseDict({"user_id": text("hasty")}, takes())
    call(ask, timeout=10)
    before = len(deployment.log.read_text())
    for _ in range(20):
        with pytest.raises(grpc.RpcError) as caught:
            call(ask, timeout=0.005)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert call(ask, timeout=10).slates[0].items
    assert "failed" not in deployment.log.read_text()[before:]


def test_a_client_that_cancels_is_gone_and_counted(reflected, web, deployment):
    """CANCELLED is a code of its own in the metrics, and no error in the log."""
    call, takes = reflected.method("Recommend")
    ask = ParseDict({"user_ids": [text(f"user-{number}") for number in range(100)], "k": 100}, takes())
    counted = 'code="CANCELLED",verb="recommend"'
    end, before = time.monotonic() + 30, len(deployment.log.read_text())
    while counted not in web.get("/metrics").text:
        assert time.monotonic() < end
        future = call.future(ask)
        time.sleep(0.005)
        future.cancel()
    assert "failed" not in deployment.log.read_text()[before:]
    assert call(ask, timeout=10).slates[99].items
