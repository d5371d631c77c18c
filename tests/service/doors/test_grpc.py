"""The running deployment over gRPC, as a client in any language sees it."""

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tandem_client import Client

SERVICE = "tandem.v1.Recommender"


class Reflected:
    """A client that has only an address, such as grpcurl: it reads the methods by reflection."""

    def __init__(self, channel):
        self._channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self._service = DescriptorPool(self.database).FindServiceByName(SERVICE)

    def method(self, verb):
        """The callable of a verb, and its request message."""
        described = self._service.methods_by_name[verb]
        takes, gives = GetMessageClass(described.input_type), GetMessageClass(described.output_type)
        call = self._channel.unary_unary(f"/{SERVICE}/{verb}", takes.SerializeToString, gives.FromString)
        return call, takes

    def call(self, verb, **values):
        """The answer as JSON."""
        call, takes = self.method(verb)
        return MessageToDict(call(ParseDict(values, takes()), timeout=10), preserving_proto_field_name=True)


@pytest.fixture(scope="module")
def channel(deployment):
    with grpc.insecure_channel(deployment.grpc) as opened:
        yield opened


@pytest.fixture(scope="module")
def reflected(channel):
    return Reflected(channel)


def text(name):
    return {"text": name}


def test_recommend_similar_and_explain_by_reflection(reflected, published):
    """Slates, similar items and explanations of the live generation. `grpcurl list` shows the services."""
    assert {SERVICE, "grpc.health.v1.Health"} <= set(reflected.database.get_services())
    slates = reflected.call("Recommend", user_ids=[{"number": 4}, text("stranger")], k=3)["slates"]
    assert [len(slate["items"]) for slate in slates] == [3, 3]
    assert {slate["generation"] for slate in slates} == {published}
    [first, *_] = reflected.call("Recommend", user_id={"number": 4}, k=3)["slates"][0]["items"]
    assert first["item_id"]["text"].split("-")[0] in {"action", "comedy", "drama"}
    similar = reflected.call("Similar", item_id=text("drama-1"), k=5)
    assert sum(item["item_id"]["text"].startswith("drama") for item in similar["items"]) >= 4
    explained = reflected.call("Explain", user_id={"number": 4}, item_id=first["item_id"])
    assert explained["place"] == 1
    assert explained["reason"].endswith(".")


def test_a_right_request_gets_the_same_answer_at_both_doors(deployment):
    """The same slates, explanations and similar items, by the client at either address."""
    with Client(deployment.url) as web, Client(f"grpc://{deployment.grpc}") as rpc:
        for user in (4, "stranger"):
            one, other = web.recommend(user, k=12), rpc.recommend(user, k=12)
            assert [item.item_id for item in one.items] == [item.item_id for item in other.items]
            assert one.generation == other.generation
        session = [{"item_id": "drama-1"}, {"item_id": "opera-1"}]
        one, other = web.recommend(session=session), rpc.recommend(session=session)
        assert (one.user_id, one.history, one.unknown_items) == (None, 1, ["opera-1"])
        assert other.model_copy(update={"items": one.items, "freshness": one.freshness}) == one
        assert [item.item_id for item in one.items] == [item.item_id for item in other.items]
        for client in (web, rpc):
            explained = client.explain(None, one.items[0].item_id, session=session)
            assert (explained.user_id, explained.place, explained.unknown_items) == (None, 1, ["opera-1"])
        assert web.similar("drama-1").items == rpc.similar("drama-1").items
        wanted = {"year": {"gte": 1995, "lt": 2000}, "categories": ["drama", "comedy"]}
        one, other = (client.recommend("stranger", k=20, filter=wanted).items for client in (web, rpc))
        assert [item.item_id for item in one] == [item.item_id for item in other]
        assert {item.item_id for item in one} == {f"{name}-{at}" for name in ("drama", "comedy") for at in range(5, 10)}
        one, other = (client.similar("drama-1", filter={"year": [1995, 1996]}).items for client in (web, rpc))
        assert one == other
        assert len(one) == 6


def test_a_deadline_of_5_ms_ends_the_call_without_a_log_line(deployment, reflected):
    """DEADLINE_EXCEEDED, and the next request is answered."""
    call, takes = reflected.method("Recommend")
    request = ParseDict({"user_id": text("hasty")}, takes())
    call(request, timeout=10)
    before = len(deployment.log.read_text())
    for _ in range(20):
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=0.005)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert call(request, timeout=10).slates[0].items
    assert "failed" not in deployment.log.read_text()[before:]
