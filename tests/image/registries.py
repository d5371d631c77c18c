"""Gives the image's build the package index and certificates that pip uses on this machine, as build arguments."""

from __future__ import annotations

import functools
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""In the base: this machine's."""


@contextmanager
def arguments(work: Path) -> Iterator[list[str]]:
    """NAME=value for Dockerfile.j2; the wheels of a folder are served on loopback while it is entered."""
    arguments_of_build = [f"SSL_CERT_FILE={CERTIFICATES}", f"PIP_CERT={CERTIFICATES}"]
    if index := _pip("index-url"):
        arguments_of_build += [f"UV_DEFAULT_INDEX={index}", f"PIP_INDEX_URL={index}"]
    if named := os.environ.get("TANDEM_TORCH_INDEX"):
        yield [*arguments_of_build, f"TANDEM_TORCH_INDEX={named}"]
    elif wheels := [wheel for folder in _pip("find-links").split() for wheel in Path(folder).glob("torch-*.whl")]:
        with _served(work / "index", wheels) as url:
            yield [*arguments_of_build, f"TANDEM_TORCH_INDEX={url}"]
    else:
        yield arguments_of_build


def _pip(name: str) -> str:
    """A setting of pip, from the environment or a file; empty without one."""
    if value := os.environ.get(f"PIP_{name.upper().replace('-', '_')}"):
        return value
    command = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


@contextmanager
def _served(folder: Path, wheels: list[Path]) -> Iterator[str]:
    """An index of these wheels of torch."""
    (folder / "torch").mkdir(parents=True)
    for wheel in wheels:
        (folder / "torch" / wheel.name).symlink_to(wheel)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return
