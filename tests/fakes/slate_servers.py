"""Fake recommender servers over HTTP and gRPC, which record the users of requests, for tests of load generators."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc

from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.grpc.tandem.v1.recommender_pb2_grpc import RecommenderServicer, add_RecommenderServicer_to_server


class SlateServer:
    """The address of a server, the users and surfaces of its requests, and the addresses of its clients."""

    def __init__(self) -> None:
        self.url = ""
        self.users: list[int | str] = []
        self.surfaces: set[str] = set()
        self.peers: set[str] = set()


@contextmanager
def http_slate_server(status: int = 200, delay: float = 0.0) -> Iterator[SlateServer]:
    """Answers POST /recommend with a slate of k items after `delay` seconds, or with `status`."""
    stub = SlateServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            stub.users.append(request["user_id"])
            stub.surfaces.add(request.get("surface", ""))
            time.sleep(delay)
            body = json.dumps({"items": [{"item_id": n} for n in range(request["k"])], "degraded": []}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stub.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield stub
        server.shutdown()


@contextmanager
def grpc_slate_server() -> Iterator[SlateServer]:
    """Answers Recommend with a slate of k items, and with INTERNAL for a user whose id is a text."""
    stub = SlateServer()

    def recommend(_: Any, request: Any, context: Any) -> Any:
        kind = request.user_id.WhichOneof("kind")
        stub.users.append(getattr(request.user_id, kind))
        stub.peers.add(context.peer())
        stub.surfaces.add(request.surface)
        if kind == "text":
            context.abort(grpc.StatusCode.INTERNAL, "no such user")
        items = [pb.ScoredItem(item_id=pb.Id(number=n)) for n in range(request.k)]
        return pb.RecommendResponse(slates=[pb.Slate(items=items)])

    server = grpc.server(ThreadPoolExecutor(4))
    servicer = type("Servicer", (RecommenderServicer,), {"Recommend": recommend})()
    add_RecommenderServicer_to_server(servicer, server)
    stub.url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield stub
    server.stop(0).wait()
