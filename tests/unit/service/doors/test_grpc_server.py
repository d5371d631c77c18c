"""The gRPC server over a fake recommender: a real server and real channels."""

import json
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from recsys.errors import NoGeneration, QueryError, StageError, StoreUnavailable
from service.grpc import limits
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.grpc.tandem.v1.recommender_pb2_grpc import RecommenderStub
from tandem_client import Client, ClientError
from tests.fakes.fake_recommender import FakeRecommender, RpcServer
from tests.servers.deployment import wait_for

YOU = pb.Id(text="you")


@pytest.fixture(scope="module")
def server():
    with RpcServer(FakeRecommender()) as running:
        yield running


@pytest.fixture
def recommender(server):
    server.recommender.__init__()
    return server.recommender


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.place) as opened:
        yield opened


@pytest.fixture
def stub(channel, recommender):
    return RecommenderStub(channel)


def raw(channel, verb="Recommend"):
    """A method that takes and returns bytes."""
    return channel.unary_unary(f"/tandem.v1.Recommender/{verb}")


def refused(call, *args, **more):
    """The error of a call that has to fail: status, JSON body, trailing metadata."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **more)
    trailing = dict(caught.value.trailing_metadata() or ())
    return caught.value.code(), json.loads(trailing.get("tandem-error-bin", b"{}")), trailing


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (QueryError("No such column.", "context.x"), "INVALID_ARGUMENT", ("invalid", "context.x")),
        (QueryError("Too many wait.", code="overloaded"), "RESOURCE_EXHAUSTED", ("overloaded", None)),
        (QueryError("No such item.", "item_id", "not_found"), "NOT_FOUND", ("not_found", "item_id")),
        (QueryError("No room.", "items", "full"), "FAILED_PRECONDITION", ("full", "items")),
        (NoGeneration("Nothing is live."), "UNAVAILABLE", ("not_ready", None)),
        (StoreUnavailable("Redis is away."), "UNAVAILABLE", ("store", None)),
        (StageError("A stage is away."), "UNAVAILABLE", ("unavailable", None)),
    ],
)
def test_each_error_has_its_status_and_its_body(stub, recommender, error, status, body):
    """The details are the sentence. The trailing metadata has the JSON of HTTP, and the pause before a retry may
    help.
    """
    recommender.fault = [error]
    with pytest.raises(grpc.RpcError) as caught:
        stub.Recommend(pb.RecommendRequest(user_id=YOU))
    trailing = dict(caught.value.trailing_metadata())
    sent = json.loads(trailing["tandem-error-bin"])
    assert caught.value.code().name == status
    assert (sent["code"], sent.get("field")) == body
    assert caught.value.details() == sent["message"] == str(error)
    passes = status == "UNAVAILABLE" or sent["code"] == "overloaded"
    assert trailing.get("grpc-retry-pushback-ms") == ("1000" if passes else None)


def test_while_too_many_slates_are_in_flight_no_request_for_a_slate_is_parsed(stub, recommender):
    """An empty message would be wrong. Verbs without a slate are answered."""
    recommender.full = True
    _, body, trailing = refused(stub.Recommend, pb.RecommendRequest())
    assert (body["code"], trailing["grpc-retry-pushback-ms"]) == ("overloaded", "1000")
    assert stub.Status(pb.StatusRequest()).ready


def test_an_unexpected_error_is_internal_and_its_traceback_is_logged(stub, recommender, caplog):
    """The client gets no text of the exception."""
    recommender.fault = [ZeroDivisionError("secret")]
    status, body, _ = refused(stub.Recommend, pb.RecommendRequest(user_id=YOU))
    assert (status, body["code"]) == (grpc.StatusCode.INTERNAL, "internal")
    assert "secret" not in body["message"]
    assert "ZeroDivisionError: secret" in caplog.text


@pytest.mark.parametrize(
    ("data", "code", "field"),
    [
        (b"\xff\xff\xff", "not_protobuf", None),
        (b"\x0a\x05ab", "not_protobuf", None),  # shorter than its length
        (b"\x0a\x04\x0a\x02\xff\xfe", "not_protobuf", None),  # text that is no UTF-8
        (pb.RecommendRequest(user_id=YOU).SerializeToString() + b"\x78\x01", "invalid", "15"),
        (pb.RecommendRequest(user_id=YOU).SerializeToString() + b"\x22\x04\x78\x01\x78\x01", "invalid", "session.0.15"),
        (b"\x18\x0a\x1a\x01\x05", "invalid", "k"),  # a varint in the first place, and bytes in the second
        (b"\x22\x02\x08\x01", "invalid", "session.0.item_id"),
    ],
)
def test_bytes_that_are_no_request_are_refused(channel, recommender, caplog, data, code, field):
    """The error names an unknown field by its number and a field of another type by its name. Nothing is logged."""
    status, body, _ = refused(raw(channel), data)
    assert ("another type" in body["message"]) == (field in {"k", "session.0.item_id"})
    assert status == grpc.StatusCode.INVALID_ARGUMENT
    assert (body["code"], body.get("field")) == (code, field)
    assert not caplog.records


def test_the_recommender_gets_the_shorter_deadline_less_the_time_to_send(stub, recommender):
    """The deadline of gRPC or `x-deadline-ms`."""
    stub.Recommend(pb.RecommendRequest(user_id=YOU), timeout=5)
    stub.Recommend(pb.RecommendRequest(user_id=YOU), timeout=5, metadata=[("x-deadline-ms", "300")])
    stub.Recommend(pb.RecommendRequest(user_id=YOU))
    gave, less, free = recommender.dues
    assert 3 < gave < 4.995
    assert 0.1 < less <= 0.3
    assert free > 50


def test_health_follows_the_recommender(channel, recommender):
    """A Watch call receives each change, also after another Watch call has ended. Server and service have a name."""
    health, kinds = health_pb2_grpc.HealthStub(channel), health_pb2.HealthCheckResponse
    for name in ("", "tandem.v1.Recommender"):
        assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == kinds.SERVING
    watch, other = (health.Watch(health_pb2.HealthCheckRequest(), timeout=30) for _ in range(2))
    assert next(watch).status == next(other).status == kinds.SERVING
    other.cancel()
    recommender.ready = False
    assert next(watch).status == kinds.NOT_SERVING
    recommender.ready = True
    assert next(watch).status == kinds.SERVING
    watch.cancel()


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_drain_loses_no_call(seconds):
    """Health is NOT_SERVING at once, calls go on until the end, and clients send a call that grpc cancelled again."""
    ended, failed, answered = threading.Event(), [], []

    def call(place):
        with Client(f"grpc://{place}", deadline=20) as client:
            while not ended.is_set():
                try:
                    answered.append(client.recommend("you"))
                except ClientError as error:
                    failed.append(error)

    leaves, stays = RpcServer(FakeRecommender()), RpcServer(FakeRecommender())
    stays.port = leaves.port
    threads = [threading.Thread(target=call, args=(leaves.place,)) for _ in range(8)]
    with leaves, grpc.insecure_channel(leaves.place) as channel:
        serving = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(serving).status == health_pb2.HealthCheckResponse.SERVING
        for thread in threads:
            thread.start()
        wait_for(lambda: len(leaves.recommender.requests) > 100)
        before = len(answered)
        draining = leaves.begin(leaves.door.drain(seconds))
        assert next(serving).status == health_pb2.HealthCheckResponse.NOT_SERVING
        wait_for(lambda: len(answered) > before)
        with stays:
            draining.result(30)
            with pytest.raises(grpc.RpcError, match="The server stops"):
                next(serving)  # an open Watch call does not delay the stop
            wait_for(lambda: len(stays.recommender.requests) > 100)
            ended.set()
            for thread in threads:
                thread.join(30)
    assert failed == []
    assert leaves.recommender.ended == ["done"] * len(leaves.recommender.requests)
    assert len(answered) == len(stays.recommender.requests) + len(leaves.recommender.requests)


def never():
    """Messages of which none is sent."""
    threading.Event().wait(30)
    yield b""


@pytest.mark.parametrize("path", ["/tandem.v1.Recommender/Recommend", "/grpc.health.v1.Health/Check"])
def test_a_call_whose_message_never_comes_is_ended(channel, recommender, monkeypatch, path):
    """grpc waits for a message without an end, and a call in flight counts against a limit."""
    monkeypatch.setattr(limits, "MESSAGE_SECONDS", 0.3)
    status, body, _ = refused(channel.stream_unary(path), never(), timeout=20)
    assert (status, body["code"]) == (grpc.StatusCode.DEADLINE_EXCEEDED, "timeout")


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("UNIMPLEMENTED", {"compression": grpc.Compression.Gzip}),
        ("RESOURCE_EXHAUSTED", {"metadata": [("x-much", "x" * 10_000)]}),
    ],
)
def test_packed_messages_and_large_metadata_are_refused(channel, recommender, code, more):
    """16 MB of zeros are 16 kB when packed. The handler is not called."""
    assert refused(raw(channel), bytes(1 << 24), timeout=20, **more)[0].name == code
    assert not recommender.requests


def test_watch_and_reflection_calls_do_not_shut_out_verbs(server, recommender, channel):
    """They need no key and have no end: 64 of a process are served, the next is refused, and verbs are answered."""
    health, reflection = health_pb2_grpc.HealthStub(channel), reflection_pb2_grpc.ServerReflectionStub(channel)
    watches = [health.Watch(health_pb2.HealthCheckRequest(), timeout=30) for _ in range(32)]
    for watch in watches:
        next(watch)
    held = threading.Event()

    def requests():
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        held.wait(30)

    streams = [reflection.ServerReflectionInfo(requests(), timeout=30) for _ in range(32)]
    for stream in streams:
        next(stream)
    for one in (health.Watch(health_pb2.HealthCheckRequest(), timeout=30), reflection.ServerReflectionInfo(requests())):
        assert refused(next, one)[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert RecommenderStub(channel).Recommend(pb.RecommendRequest(user_id=YOU), timeout=10).slates
    held.set()
    for each in [*watches, *streams]:
        each.cancel()
    wait_for(lambda: not server.door._open_ended._open)
    assert next(health.Watch(health_pb2.HealthCheckRequest(), timeout=30)).status
