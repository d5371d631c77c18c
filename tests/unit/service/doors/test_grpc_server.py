"""The gRPC server over a fake recommender: a real server and real channels."""

import asyncio
import json
import logging
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from recsys.errors import NoGeneration, QueryError, SettingsError, StageError, StoreUnavailable
from service.grpc import limits
from service.grpc.call_status import cancelled
from service.grpc.server import GrpcServer
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.grpc.tandem.v1.recommender_pb2_grpc import RecommenderStub
from service.http.error_responses import error_response
from service.schema import verbs
from service.telemetry.metrics import request_seconds
from service.verbs.calls import Calls
from tandem_client import Client
from tandem_client.errors import ClientError
from tests.fakes.fake_recommender import FakeRecommender, RpcServer, answered

YOU = pb.Id(text="you")
EVENT = pb.AddEventsRequest(events=[pb.Event(user_id=YOU, item_id=YOU)]).SerializeToString()


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
    """A method that takes and gives bytes."""
    return channel.unary_unary(f"/tandem.v1.Recommender/{verb}")


def refused(call, *args, **more):
    """The error of a call that has to fail: status, JSON body, trailing metadata."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **more)
    trailing = dict(caught.value.trailing_metadata() or ())
    return caught.value.code(), json.loads(trailing.get("tandem-error-bin", b"{}")), trailing


def wait_for(true):
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_left_out_and_zero_are_two(stub, recommender):
    """k is 10 where it is not said, and wrong where it is 0."""
    stub.Recommend(pb.RecommendRequest(user_id=YOU))
    assert recommender.asked[-1].k == 10
    status, body, _ = refused(stub.Recommend, pb.RecommendRequest(user_id=YOU, k=0))
    assert (status, body["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "k")


def test_one_user_gets_one_slate_and_several_get_theirs(stub):
    """The same message holds both, in the order asked for; ids keep their kind."""
    one = stub.Recommend(pb.RecommendRequest(user_id=YOU))
    assert [slate.user_id for slate in one.slates] == [YOU]
    two = stub.Recommend(pb.RecommendRequest(user_ids=[pb.Id(number=7), YOU]))
    assert [slate.user_id for slate in two.slates] == [pb.Id(number=7), YOU]
    assert not one.slates[0].items[0].HasField("tower_score")


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
    """The status for gRPC's own machinery, the sentence as its details, HTTP's JSON for whoever handles both."""
    recommender.fault = [error]
    with pytest.raises(grpc.RpcError) as caught:
        stub.Recommend(pb.RecommendRequest(user_id=YOU))
    told = json.loads(dict(caught.value.trailing_metadata())["tandem-error-bin"])
    assert caught.value.code().name == status
    assert (told["code"], told.get("field")) == body
    assert caught.value.details() == told["message"] == str(error)


@pytest.mark.parametrize(
    "fault",
    [
        QueryError("Too many wait.", code="overloaded"),
        NoGeneration("Not yet."),
        StoreUnavailable("No Redis answers."),
        StageError("The batch was cancelled."),
    ],
)
def test_what_passes_says_when_to_come_back(stub, recommender, fault):
    """In gRPC's own word for it, as retry-after says over HTTP."""
    asks = [
        (stub.Recommend, pb.RecommendRequest(user_id=YOU)),
        (stub.Similar, pb.SimilarRequest(item_id=YOU)),
        (stub.Explain, pb.ExplainRequest(user_id=YOU, item_id=YOU)),
    ]
    for ask, request in asks:
        recommender.fault = [fault]
        _, _, trailing = refused(ask, request)
        assert trailing["grpc-retry-pushback-ms"] == "1000"
    assert error_response(fault).headers["retry-after"] == "1"


def test_where_too_many_are_under_way_nothing_is_parsed(stub, recommender):
    """A message that is none would be refused for that; `AddEvents` has no slate to wait for."""
    recommender.full = True
    _, body, trailing = refused(stub.Recommend, pb.RecommendRequest())
    assert (body["code"], trailing["grpc-retry-pushback-ms"]) == ("overloaded", "1000")
    assert stub.Status(pb.StatusRequest()).ready


def test_what_nobody_foresaw_is_one_sentence_here_and_a_traceback_in_the_log(stub, recommender, caplog):
    """A caller learns nothing of the inside."""
    recommender.fault = [ZeroDivisionError("secret")]
    status, body, _ = refused(stub.Recommend, pb.RecommendRequest(user_id=YOU))
    assert (status, body["code"]) == (grpc.StatusCode.INTERNAL, "internal")
    assert "secret" not in body["message"]
    assert "ZeroDivisionError: secret" in caplog.text


@pytest.mark.parametrize(
    ("data", "code", "field"),
    [
        (b"\xff\xff\xff", "not_protobuf", None),
        (b"\x0a\x05ab", "not_protobuf", None),  # shorter than it says
        (b"\x0a\x04\x0a\x02\xff\xfe", "not_protobuf", None),  # text that is no UTF-8
        (pb.RecommendRequest(user_id=YOU).SerializeToString() + b"\x78\x01", "invalid", "15"),
        (pb.RecommendRequest(user_id=YOU).SerializeToString() + b"\x22\x04\x78\x01\x78\x01", "invalid", "session.0.15"),
        (b"\x18\x0a\x1a\x01\x05", "invalid", "k"),  # a varint in the first place, and bytes in the second
        (b"\x22\x02\x08\x01", "invalid", "session.0.item_id"),
    ],
)
def test_bytes_that_are_no_request_are_refused(channel, recommender, caplog, data, code, field):
    """An unknown field is named by its number, a field of another type by its name; nothing is logged."""
    status, body, _ = refused(raw(channel), data)
    assert ("another type" in body["message"]) == (field in {"k", "session.0.item_id"})
    assert status == grpc.StatusCode.INVALID_ARGUMENT
    assert (body["code"], body.get("field")) == (code, field)
    assert not caplog.records


def test_an_unknown_method_and_a_huge_message_are_what_grpc_says(channel, recommender):
    """UNIMPLEMENTED, and RESOURCE_EXHAUSTED before a byte of it is parsed."""
    assert refused(raw(channel, "Rank"), b"")[0] == grpc.StatusCode.UNIMPLEMENTED
    status, body, _ = refused(raw(channel), b" " * (verbs.RECOMMEND.most_bytes + 1))
    assert (status, body["code"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too_large")
    assert f"{verbs.RECOMMEND.most_bytes:,} bytes" in body["message"]
    assert not recommender.asked


@pytest.mark.parametrize(
    ("rpc", "data", "field", "sentence"),
    [
        ("AddEvents", b"\x0a\x00" * 2_000_000, "events.0.user_id", "required"),
        ("AddEvents", EVENT * 200_000, "events", "at most 1,000 entries"),
        ("Recommend", b"\x22\x00" * 200_000, "session.0.item_id", "required"),
        ("Recommend", b"\x78\x01" * 200_000, None, "no field"),
    ],
    ids=["wrong events", "many events", "wrong session", "unknown fields"],
)
def test_a_message_of_many_wrong_entries_gets_one_error(channel, rpc, data, field, sentence):
    """The error names the first wrong field or the list that is too long, as over HTTP."""
    status, body, _ = refused(raw(channel, rpc), data)
    assert (status, body.get("field")) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert sentence in body["message"]


def test_a_name_of_megabytes_is_cut_in_the_error(stub, recommender):
    """Else the error would be larger than the metadata may be, and come as another."""
    status, body, _ = refused(stub.Recommend, pb.RecommendRequest(user_id=YOU, context={"é" * 200_000: "x"}))
    assert status == grpc.StatusCode.INVALID_ARGUMENT
    assert body["field"] == f"context.{'é' * 64}"


def test_the_deadline_reaches_the_recommender_less_the_way_back(stub, recommender):
    """The lesser of gRPC's own and x-deadline-ms counts."""
    stub.Recommend(pb.RecommendRequest(user_id=YOU), timeout=5)
    stub.Recommend(pb.RecommendRequest(user_id=YOU), timeout=5, metadata=[("x-deadline-ms", "300")])
    stub.Recommend(pb.RecommendRequest(user_id=YOU))
    gave, less, free = recommender.dues
    assert 3 < gave < 4.995
    assert 0.1 < less <= 0.3
    assert free > 50


@pytest.mark.parametrize("told", ["soon", "", "-1", "0", "1.5", "nan", "1000000"])
def test_a_deadline_that_is_none_is_refused(stub, recommender, told):
    """By name, as any field."""
    call = pb.RecommendRequest(user_id=YOU)
    status, body, _ = refused(stub.Recommend, call, metadata=[("x-deadline-ms", told)])
    assert (status, body["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "x-deadline-ms")


def test_a_deadline_that_passes_ends_the_work(stub, recommender, caplog):
    """DEADLINE_EXCEEDED there, a cancelled recommender here, and nobody logs an error."""
    recommender.wait = 30
    status, _, _ = refused(stub.Recommend, pb.RecommendRequest(user_id=YOU), timeout=0.3)
    assert status == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_for(lambda: recommender.ended == ["cancelled"])
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("given", "left", "code"),
    [(1.0, 0.04, "DEADLINE_EXCEEDED"), (1.0, 0.06, "CANCELLED"), (0.1, 0.02, "CANCELLED"), (None, None, "CANCELLED")],
)
def test_a_call_cancelled_shortly_before_its_deadline_counts_as_late(given, left, code):
    """The client's clock starts before the server's, so the client cancels first."""
    assert cancelled(given, left).name == code


def test_a_deadline_too_near_starts_nothing(stub, recommender, caplog):
    """With no more left than the way back takes, the recommender is not asked."""
    stub.Status(pb.StatusRequest())  # connects
    status, _, _ = refused(stub.Recommend, pb.RecommendRequest(user_id=YOU), timeout=0.004)
    assert status == grpc.StatusCode.DEADLINE_EXCEEDED
    stub.Status(pb.StatusRequest())
    assert not recommender.asked
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_client_that_leaves_cancels_the_work(stub, recommender, caplog):
    """Nobody waits for the answer any more."""
    recommender.wait = 30
    call = stub.Recommend.future(pb.RecommendRequest(user_id=YOU))
    wait_for(lambda: recommender.asked)
    call.cancel()
    wait_for(lambda: recommender.ended == ["cancelled"])
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def counted(verb, code):
    """How many requests the metrics have under these labels."""
    samples = request_seconds.labels(verb, code).collect()[0].samples
    return next(sample.value for sample in samples if sample.name.endswith("_count"))


def test_requests_are_timed_and_counted_by_status(stub, recommender):
    """Beside HTTP's, whose codes are numbers."""
    good, bad = counted("recommend", "OK"), counted("recommend", "INVALID_ARGUMENT")
    stub.Recommend(pb.RecommendRequest(user_id=YOU))
    refused(stub.Recommend, pb.RecommendRequest(k=0))
    assert counted("recommend", "OK") == good + 1
    wait_for(lambda: counted("recommend", "INVALID_ARGUMENT") == bad + 1)  # the answer leaves before it is counted


def test_health_follows_the_recommender(channel, recommender):
    """A Watch call receives each change, also after another Watch call has ended; server and service have a name."""
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


def test_workers_share_a_port_and_one_that_cannot_be_had_is_named(server):
    """Doors of one gateway listen together; an address that is not ours is told with the variable to change."""
    twin = RpcServer(FakeRecommender())
    twin.port = server.port
    with twin:
        pass
    with pytest.raises(SettingsError, match="GRPC_PORT"):
        server.run(GrpcServer(Calls(FakeRecommender()), "203.0.113.1", server.port, guard=None).start())


def hammered(server, callers=8):
    """Ask without a pause until nobody is there any more, half of them by a new channel each time; what came of it."""
    outcomes = []

    def ask(calls):
        gone = False
        while not gone:
            with grpc.insecure_channel(server.place, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                stub, asked = RecommenderStub(channel), 0
                while asked < calls and not gone:
                    asked += 1
                    try:
                        stub.Recommend(pb.RecommendRequest(user_id=YOU), timeout=10)
                        outcomes.append("answered")
                    except grpc.RpcError as error:
                        gone = "failed to connect" in error.details()
                        outcomes.append("nobody there" if gone else f"{error.code().name} {error.details()}")

    threads = [threading.Thread(target=ask, args=([1, 1_000_000][each % 2],)) for each in range(callers)]
    for thread in threads:
        thread.start()
    return threads, outcomes


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_drain_answers_every_call_that_reached_the_recommender(seconds):
    """Under clients that never pause. A call that arrives while grpc closes the connection may be cancelled unread."""
    with RpcServer(FakeRecommender()) as server, grpc.insecure_channel(server.place) as channel:
        server.recommender.wait = 0.005
        serving = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(serving).status == health_pb2.HealthCheckResponse.SERVING
        threads, outcomes = hammered(server)
        time.sleep(0.3)
        draining = server.begin(server.door.drain(seconds))
        assert next(serving).status == health_pb2.HealthCheckResponse.NOT_SERVING
        before = len(outcomes)
        draining.result(30)
        with pytest.raises(grpc.RpcError, match="The server stops"):
            next(serving)  # an open Watch call does not delay the stop
        assert len(outcomes) > before  # calls are answered during the drain
        for thread in threads:
            thread.join(30)
        assert server.recommender.ended == ["done"] * len(server.recommender.asked)
        assert outcomes.count("answered") == len(server.recommender.asked)


def test_the_client_of_a_server_that_stops_is_answered_by_another():
    """It sends a call that grpc cancelled unread again."""
    ended, failed, answered = threading.Event(), [], []

    def ask(place):
        with Client(f"grpc://{place}", deadline=20) as client:
            while not ended.is_set():
                try:
                    answered.append(client.recommend("you"))
                except ClientError as error:
                    failed.append(error)

    leaves, stays = RpcServer(FakeRecommender()), RpcServer(FakeRecommender())
    stays.port = leaves.port
    threads = [threading.Thread(target=ask, args=(leaves.place,)) for _ in range(8)]
    with leaves:
        for thread in threads:
            thread.start()
        wait_for(lambda: len(leaves.recommender.asked) > 100)
        with stays:
            leaves.run(leaves.door.drain(0))
            wait_for(lambda: len(stays.recommender.asked) > 100)
            ended.set()
            for thread in threads:
                thread.join(30)
    assert failed == []
    assert len(answered) == len(stays.recommender.asked) + len(leaves.recommender.asked)


def test_a_long_answer_in_flight_is_sent_whole():
    """An answer of several megabytes needs flow control after the drain has begun."""
    options = [("grpc.max_receive_message_length", -1)]
    with RpcServer(FakeRecommender()) as server, grpc.insecure_channel(server.place, options) as channel:
        begun = []

        async def much(request, _):
            begun.append(request)
            await asyncio.sleep(0.2)
            return [answered("you" * 300)] * 3_000

        server.recommender.recommend = much
        answer = RecommenderStub(channel).Recommend.future(pb.RecommendRequest(user_ids=[YOU]), timeout=20)
        wait_for(lambda: begun)
        server.run(server.door.drain(0))
        assert len(answer.result(20).slates) == 3_000


def never():
    """Messages of which none comes."""
    threading.Event().wait(30)
    yield b""


@pytest.mark.parametrize("path", ["/tandem.v1.Recommender/Recommend", "/grpc.health.v1.Health/Check"])
def test_a_call_whose_message_never_comes_is_ended(channel, recommender, monkeypatch, path):
    """grpc itself waits for it without an end, and a call in flight counts against a limit."""
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
    """16 MB of zeros are 16 kB packed; the handler is not called."""
    assert refused(raw(channel), bytes(1 << 24), timeout=20, **more)[0].name == code
    assert not recommender.asked


def test_watch_and_reflection_calls_do_not_shut_out_verbs(server, recommender, channel):
    """They need no key and have no end: 64 of a process are served, the next is refused, and verbs are answered."""
    health, reflection = health_pb2_grpc.HealthStub(channel), reflection_pb2_grpc.ServerReflectionStub(channel)
    watches = [health.Watch(health_pb2.HealthCheckRequest(), timeout=30) for _ in range(32)]
    for watch in watches:
        next(watch)
    held = threading.Event()

    def asks():
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        held.wait(30)

    streams = [reflection.ServerReflectionInfo(asks(), timeout=30) for _ in range(32)]
    for stream in streams:
        next(stream)
    for one in (health.Watch(health_pb2.HealthCheckRequest(), timeout=30), reflection.ServerReflectionInfo(asks())):
        assert refused(next, one)[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert RecommenderStub(channel).Recommend(pb.RecommendRequest(user_id=YOU), timeout=10).slates
    held.set()
    for each in [*watches, *streams]:
        each.cancel()
    wait_for(lambda: not server.door._open_ended._open)
    assert next(health.Watch(health_pb2.HealthCheckRequest(), timeout=30)).status


def test_checks_without_messages_do_not_shut_out_others(server, channel, recommender, monkeypatch):
    """They need no key: beyond the limit the oldest is ended, and a check with its message is answered."""
    monkeypatch.setattr(server.door._health._checks, "_most", 2)
    silent = [channel.stream_unary("/grpc.health.v1.Health/Check").future(never(), timeout=20) for _ in range(4)]
    wait_for(lambda: sum(each.done() for each in silent) == 2)
    check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert check.status == health_pb2.HealthCheckResponse.SERVING
    wait_for(lambda: sum(each.done() for each in silent) == 3)
    assert {each.code() for each in silent if each.done()} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    for each in silent:
        each.cancel()


def test_too_many_calls_in_flight_are_told_to_retry(recommender, stub, monkeypatch):
    """Also calls whose messages are still on their way; events have no limit of their own."""
    monkeypatch.setattr(limits, "CALLS", 1)
    recommender.wait = 30
    call = stub.Recommend.future(pb.RecommendRequest(user_id=YOU))
    wait_for(lambda: recommender.asked)
    _, body, trailing = refused(stub.Status, pb.StatusRequest())
    assert (body["code"], trailing["grpc-retry-pushback-ms"]) == ("overloaded", "1000")
    call.cancel()


def test_a_call_without_a_message_is_refused(channel, recommender):
    """By a word of ours: a client that streams may send none."""
    call = channel.stream_unary("/tandem.v1.Recommender/Recommend")
    status, body, _ = refused(call, iter(()))
    assert (status, body["code"]) == (grpc.StatusCode.INVALID_ARGUMENT, "not_protobuf")
    assert not recommender.asked
