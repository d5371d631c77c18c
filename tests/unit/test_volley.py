"""The generator that costs little: every request is told of, whatever the server does."""

import argparse
import asyncio
import itertools
import json
import subprocess
import sys

import grpc
import pytest
import uvloop

from loadtests.arrivals import Shape
from loadtests.tally import Outcome, Tally
from loadtests.visitors import Population, Visitors
from loadtests.volley import Volley, volley
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.grpc.tandem.v1.recommender_pb2_grpc import RecommenderServicer, add_RecommenderServicer_to_server

SHAPE = Shape("steady", ((0.2, 200),))
SENT = len(list(SHAPE.arrivals(1)))
SLATE = json.dumps({"items": [{"item_id": n} for n in range(5)], "degraded": []}).encode()


def answer(status, body=b"", more=b""):
    return b"HTTP/1.1 %d X\r\ncontent-Length: %d\r\n%b\r\n%b" % (status, len(body), more, body)


def fired(handler, give_up=5.0):
    """What became of a shape sent to a server whose connections are handled so, and the bodies it got."""
    tally, bodies = Tally(), []

    async def serve(reader, writer):
        try:
            for number in itertools.count():
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                bodies.append(json.loads(await reader.readexactly(length)))
                if not await handler(writer, number):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1_000)
        port = server.sockets[0].getsockname()[1]
        volley = Volley(f"http://127.0.0.1:{port}", 5, 0, give_up, tally)
        await volley.follow(SHAPE, 1, Visitors(Population(), 1), counted=True)
        await volley.settle()
        await volley.close()
        server.close()

    uvloop.run(run())
    return tally, bodies


def writes(*parts):
    async def handler(writer, _):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        return True

    return handler


@pytest.mark.parametrize(
    ("parts", "outcome", "word"),
    [
        ([answer(200, SLATE)], Outcome.WHOLE, None),
        ([answer(200, SLATE)[:30], answer(200, SLATE)[30:90], answer(200, SLATE)[90:]], Outcome.WHOLE, None),
        ([answer(200, SLATE.replace(b"[]", b'["ranking"]'))], Outcome.DEGRADED, None),
        ([answer(429)], Outcome.REJECTED, None),
        ([answer(503)], Outcome.FAILED, "status 503"),
        ([answer(200, b"{}")], Outcome.FAILED, "no slate in the body"),
        ([answer(200, SLATE.replace(b"4", b"3"))], Outcome.FAILED, "4 distinct items, not 5"),
    ],
)
def test_answers_are_judged_by_content(parts, outcome, word):
    """As the locustfile judges them, in however many pieces they come; bodies are those that were asked for."""
    tally, bodies = fired(writes(*parts))
    assert tally.count() == tally.count(outcome) == SENT
    assert tally.words == ({word: SENT} if word else {})
    visitors = Visitors(Population(), 1)
    expected = [{"user_id": visitors.one(), "k": 5} for _ in range(SENT)]
    assert sorted(map(str, bodies)) == sorted(map(str, expected))
    assert len(tally.lag) == SENT


def test_who_never_answers_is_given_up():
    """Each request is counted as failed once."""

    async def silent(writer, _):
        await asyncio.sleep(1)
        return True

    tally, _ = fired(silent, give_up=0.2)
    assert tally.count() == tally.count(Outcome.FAILED) == SENT
    assert tally.words == {"no answer in 0.2 s": SENT}


@pytest.mark.parametrize(
    ("behaviour", "outcome", "word"),
    [
        ("answers", Outcome.WHOLE, None),
        ("is full", Outcome.REJECTED, None),
        ("breaks", Outcome.FAILED, "status 2"),
        ("waits", Outcome.FAILED, "no answer in 0.5 s"),
    ],
)
def test_answers_over_grpc_are_judged_by_content(behaviour, outcome, word):
    """Over gRPC's own client: a slate, a refusal, an error, and a call that is given up and cancelled."""
    tally = Tally()

    async def recommend(_, request, context):
        assert request.k == 5
        if behaviour == "is full":
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        if behaviour == "breaks":
            raise ZeroDivisionError
        if behaviour == "waits":
            await asyncio.sleep(30)
        items = [pb.ScoredItem(item_id=pb.Id(number=each)) for each in range(5)]
        return pb.RecommendResponse(slates=[pb.Slate(items=items)])

    async def run():
        server = grpc.aio.server()
        servicer = type("Servicer", (RecommenderServicer,), {"Recommend": recommend})()
        add_RecommenderServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        volley = Volley(f"grpc://127.0.0.1:{port}", 5, 0, 0.5 if behaviour == "waits" else 10.0, tally)
        await volley.follow(SHAPE, 1, Visitors(Population(), 1), counted=True)
        await volley.settle()
        await volley.close()
        await server.stop(0)

    uvloop.run(run())
    assert tally.count() == tally.count(outcome) == SENT
    assert tally.words == ({word: SENT} if word else {})


BUSY = """
import asyncio, sys, time

async def serve(reader, writer):
    while head := await reader.readuntil(b"\\r\\n\\r\\n"):
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0]))
        end = time.process_time() + 0.01
        while time.process_time() < end:
            pass
        writer.write(ANSWER)

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1_000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


def test_cpu_is_of_what_was_counted_and_of_all_of_it():
    """From a server that is behind: with what it answers once the sending is over, without what the warm-up left."""
    code = BUSY.replace("ANSWER", repr(answer(200, SLATE)))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            host, tally = f"http://127.0.0.1:{int(server.stdout.readline())}", Tally()
            asked = {"host": host, "k": 5, "deadline_ms": 0, "give_up": 30.0, "pid": server.pid, "user_file": None}
            asked |= {"pieces": SHAPE, "warmup": 0.4, "seed": 1, "cold_share": 0.0}
            uvloop.run(volley(argparse.Namespace(**asked), tally))
        finally:
            server.terminate()
    assert tally.count(Outcome.WHOLE) == SENT
    assert 0.95 <= tally.cpu_seconds / (0.01 * SENT) < 1.5  # twice that is counted with the warm-up
