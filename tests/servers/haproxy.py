"""Runs HAProxy with the committed `deploy/proxy/haproxy.cfg` in front of the service, for tests."""

from __future__ import annotations

import os
import ssl
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx

from loadtests.processes.free_ports import free_ports
from recsys.process import parent_death
from tests.servers.debian_program import DebianProgram

HAPROXY = DebianProgram(
    "usr/sbin/haproxy",
    ["haproxy"],
    {
        "libcrypt.so.1": ["libcrypt1"],
        "libjemalloc.so.2": ["libjemalloc2"],
        "liblua5.4.so.0": ["liblua5.4-0"],
        "liblua5.3.so.0": ["liblua5.3-0"],
        "libopentracing-c-wrapper.so.0": ["libopentracing-c-wrapper0t64", "libopentracing-c-wrapper0"],
        "libopentracing.so.1": ["libopentracing1"],
        "libpcre2-8.so.0": ["libpcre2-8-0"],
        "libssl.so.3": ["libssl3t64", "libssl3"],
        "libcrypto.so.3": ["libssl3t64", "libssl3"],
        "libsystemd.so.0": ["libsystemd0"],
        "libstdc++.so.6": ["libstdc++6"],
    },
    version="-v",
)

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "proxy" / "haproxy.cfg"


class Proxy:
    """HAProxy in front of gateways on loopback, while it is entered.

    gateways: the HTTP and the gRPC port of each, at most two. In place of a second one there is a port that refuses
    connections.
    """

    def __init__(
        self,
        binary: Path,
        gateways: list[tuple[int, int]],
        log: Path,
        ca: Path | None = None,
        ready_seconds: float = 30.0,
        **settings: str,
    ) -> None:
        """ca: of the proxy's certificate. ready_seconds: limit of the wait for a ready gateway."""
        self.port, self.grpc_port, absent = free_ports(3)
        self.url = f"{'https' if ca else 'http'}://127.0.0.1:{self.port}"
        self.grpc = f"127.0.0.1:{self.grpc_port}"
        self._trust = ssl.create_default_context(cafile=ca)
        self.log, self._binary, self._ready_seconds = log, binary, ready_seconds
        variables = {"HTTP_BIND": f"127.0.0.1:{self.port}", "GRPC_BIND": f"127.0.0.1:{self.grpc_port}"}
        for number, (http, grpc) in enumerate([*gateways, (absent, absent)][:2], start=1):
            variables |= {
                f"GATEWAY_{number}_HTTP": f"127.0.0.1:{http}",
                f"GATEWAY_{number}_GRPC": f"127.0.0.1:{grpc}",
            }
        self._environment = os.environ | variables | settings

    def __enter__(self) -> Proxy:
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(self._binary), "-W", "-db", "-f", str(CONFIGURATION)],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=parent_death.preexec(),
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(40)

    def _wait_until_ready(self) -> None:
        """Wait until a request reaches a gateway."""
        end = time.monotonic() + self._ready_seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz", timeout=2, verify=self._trust).status_code == httpx.codes.OK:
                    return
            time.sleep(0.1)
        raise AssertionError(f"the proxy finds no ready gateway:\n{self.log.read_text()}")
