"""Fake recommender servers over HTTP and gRPC, which record the users of requests, for tests of load generators."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


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
