"""Tests for unsafe unpickling: sends a pickle that writes a file when loaded to the service's sockets, in every form.

The forms are those that BentoML accepts: paths, media types and containers.
"""

from __future__ import annotations

import pickle
import socket
from collections.abc import Iterator
from pathlib import Path

from service.backends.wire import WIDTHS

MEDIA = "application/vnd.bentoml+pickle"

KINDS = (MEDIA, "application/octet-stream", "application/json", "multipart/form-data; boundary=x", "text/plain", "")

CONTAINERS = ("", "ndarray", "pandas", "PandasDataFrame", "default", "Pickle")
"""Values of `payload-container`, which BentoML's runners set to the type of the payload."""

PATHS = (
    *(f"/{api}" for api in WIDTHS),
    *(f"/{prefix}{api}" for prefix in ("api/v1/", "__call__/") for api in ("rank", "retrieve")),
    *("/recommend", "/similar", "/explain", "/events", "/items", "/users/x", "/", "/__call__", "/predict"),
    *("/livez", "/readyz", "/metrics", "/schema.json", "/rank/submit", "/status", "/tandem.v1.Recommender/Recommend"),
)


class Canary:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.path, "it was executed")

    def bodies(self) -> Iterator[tuple[bytes, dict[str, str]]]:
        """Bodies of an API's input, of a batch, and with separate buffers, each with BentoML's headers."""
        for value in (self, {"rows": self}, ((self,), {}), [self]):
            data = pickle.dumps(value)
            yield data, {}
            yield data, {"buffer-lengths": str(len(data)), "pickle-bytes-str": "gASVAA==", "with-buffer": "false"}


def requests(canary: Canary) -> Iterator[bytes]:
    """HTTP/1.1 requests: each body at each path, with each media type and container, and as rows of each API."""
    bodies = list(canary.bodies())
    for path in PATHS:
        for number, kind in enumerate(KINDS):
            for container in CONTAINERS if kind in (MEDIA, "application/octet-stream") else ("",):
                data, more = bodies[(number + len(container)) % len(bodies)] if kind != MEDIA else bodies[2]
                yield _request(path, data, {"content-type": kind, "payload-container": container, **more})
        for data, more in bodies:
            args = {"args-number": "1", "batch-size": "1", "x-row-bytes": str(len(data)), "payload-meta": "{}"}
            yield _request(path, data, {"content-type": MEDIA, **args, **more})
    for api, width in WIDTHS.items():
        for data, more in bodies:
            rows = data + bytes(-len(data) % width)  # a pickle ends before the padding
            yield _request(f"/{api}", rows, {"content-type": MEDIA, "x-row-bytes": str(width), **more})


def _request(path: str, data: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    head = [f"POST {path} HTTP/1.1", "host: x", "connection: close", f"content-length: {len(data)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + data


def send(place: int | str, data: bytes, seconds: float = 2.0) -> bytes:
    """Send bytes to a loopback port or a unix socket; the bytes of the answer."""
    family, address = (socket.AF_UNIX, place) if isinstance(place, str) else (socket.AF_INET, ("127.0.0.1", place))
    received = b""
    with socket.socket(family) as opened:
        opened.settimeout(seconds)
        try:
            opened.connect(address)
            opened.sendall(data)
            while part := opened.recv(1 << 16):
                received += part
        except OSError:
            pass
    return received
