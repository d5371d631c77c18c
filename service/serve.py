"""The command `python -m service serve`: check what the server needs, start it and its store, stop both in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import psutil

from recsys.environment import Environment
from recsys.errors import NOTHING_LIVE, SettingsError, StoreUnavailable
from recsys.generation.cache import GenerationCache
from recsys.process.parent_death import preexec
from recsys.promises import stated_promises
from recsys.rules import RulesFile
from recsys.store.from_environment import OpenStore, open_store
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import LIVE
from service import probe
from service.auth import start_checks
from service.auth.tls import Tls
from service.generations.local_generations import GenerationFallback
from service.settings import STARTER, Settings, place
from service.telemetry import exporters
from service.verbs.surfaces import SurfacesFile

START_SECONDS = 120
"""Time until the service has to be ready."""

STOP_SECONDS = 28.0
"""Time for the services to stop in order (`service.drain`). The store stops after them, within 30 s."""

CLOSE_SECONDS = 8
"""Time for the HTTP requests in flight when the gateway closes. A client that reads slowly would take it all."""

STATE_BYTES = 1 << 20
"""Free space that the folder of state needs: a process that writes to a mapped file on a full disk is killed."""

SIGNAL_AGAIN_SECONDS = 1.0
"""Time between two SIGTERM."""

READY_SECONDS = 2
"""Timeout of a call of /readyz."""

SERVICES = {
    "gateway": "service.gateway:Gateway",
    "retrieval": "service.retrieval:Retrieval",
    "ranking": "service.ranking:Ranking",
}
"""BentoML's target of each role; the gateway starts the backends that have no URL beside it."""

BACKENDS = ("retrieval", "ranking")
"""Roles that have one port, and neither gRPC nor keys."""

Log = Callable[[str], None]
"""Writes a line for the operator."""


def serve(settings: Settings, environment: Environment, log: Log, role: str | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. The errors of `check`, or StoreUnavailable, if it can't start.

    role: the one service of several hosts that this host runs; None for all services that have no URL. An orchestrator
    watches a role, so a role also starts when nothing is live and Redis does not answer.
    """
    check(settings, environment, role)
    waits = settings.start_empty or role is not None
    with _open_store(environment, waits, log) as store:
        live = _first_generation(store, environment, waits, log)
        stop = _StopSignals()
        log(f"starting {_services(settings, role)} for {live} ...")
        service = _start(settings, environment, store.url, role)
        store.keep_running(log)
        try:
            return _supervise(service, settings, stop, waits, log, doors(settings, role))
        finally:
            _end(service)


def check(settings: Settings, environment: Environment, role: str | None = None) -> None:
    """Check that the deployment can serve.

    SettingsError if a port is taken or open to other machines without keys, the keys or certificates are wrong, the
    state can't be written, slo.toml is wrong, an exporter of traces is not installed, or a role lacks a URL. RulesError
    or SurfacesError if the rules or the surfaces are wrong.
    """
    if role is not None and environment.redis_url is None:
        raise SettingsError(f"The role {role} needs REDIS_URL: all hosts serve from one store.")
    if role == "gateway" and not (settings.retrieval_url and settings.ranking_url):
        raise SettingsError(
            "The role gateway needs TANDEM_RETRIEVAL_URL and TANDEM_RANKING_URL, as http://host:port; without --role "
            "a service without a URL starts on this host."
        )
    stated_promises()
    exporters.check(settings.traces)
    if tls := Tls.from_settings(settings):
        tls.check()
    environment.folder("cache", STATE_BYTES)
    RulesFile(environment.rules, environment.rules_named)
    SurfacesFile(environment.surfaces, environment.surfaces_named)
    if role not in BACKENDS:
        start_checks.check(settings)
    start_checks.require_free(settings.host, settings.port, "PORT")
    if settings.grpc_port and role not in BACKENDS:
        start_checks.require_free(settings.host, settings.grpc_port, "GRPC_PORT")


def doors(settings: Settings, role: str | None = None) -> str:
    """The addresses of the ports, for the log."""
    if role in BACKENDS:
        return _url(settings)
    scheme = "grpcs" if settings.tls_cert else "grpc"
    rpc = f" and {scheme}://{place(settings.host, settings.grpc_port)}" if settings.grpc_port else ""
    if not (start_checks.keys_required(settings) and settings.admin_port):
        return _url(settings) + rpc
    scheme = "https" if settings.admin_tls else "http"
    return f"{_url(settings)}{rpc}, admin port {scheme}://{place(settings.admin_host, settings.admin_port)}"


def _url(settings: Settings) -> str:
    return f"{'https' if settings.tls_cert else 'http'}://{place(settings.host, settings.port)}"


def _services(settings: Settings, role: str | None) -> str:
    """The services that start here, and where the others are."""
    if role in BACKENDS:
        return role
    away = {"retrieval": settings.retrieval_url, "ranking": settings.ranking_url}
    here = ", ".join(["the gateway", *(name for name, url in away.items() if not url)])
    return f"{here} ({settings.topology})" + "".join(f", {name} at {url}" for name, url in away.items() if url)


def _open_store(environment: Environment, waits: bool, log: Log) -> OpenStore:
    """The store. StoreUnavailable if it does not answer and this host neither holds a generation nor waits for one."""
    try:
        return open_store(environment)
    except StoreUnavailable as error:
        if environment.redis_url is None or not (waits or _fallback(environment).ids()):
            raise
        log(f"{error} Serving a generation of this host, if there is one, until Redis answers.")
        return OpenStore(environment.redis_url)


def _first_generation(store: OpenStore, environment: Environment, waits: bool, log: Log) -> str:
    """The generation to start with: the live one, else one of this host; SettingsError if there is none."""
    here = _fallback(environment).ids()
    with suppress(StoreUnavailable):
        live = store.generations().alias(LIVE)
        if live is not None:
            return f"generation {live}"
        if here or waits:
            log(NOTHING_LIVE)
    if here:
        return f"generation {here[0]}"
    if waits:
        return "the first generation that goes live"
    raise SettingsError(NOTHING_LIVE)


def _fallback(environment: Environment) -> GenerationFallback:
    """The generations that this host can serve without a store."""
    store = RedisGenerationStore(environment.redis_url or "unix:///nowhere")  # no call uses the URL
    return GenerationFallback(GenerationCache(environment.folder("cache"), store))


class _StopSignals:
    """Records a signal to stop, instead of an exception in the middle of a start."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._receive)

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.received = True


def _start(settings: Settings, environment: Environment, store_url: str, role: str | None) -> subprocess.Popen[bytes]:
    variables = {
        "REDIS_URL": store_url,
        "TANDEM_HOME": str(environment.home),
        STARTER: str(os.getpid()),
        "BENTOML_HOME": str(environment.folder("bentoml")),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    address = ["--host", settings.host, "--port", str(settings.port)]
    limit = ["--timeout-graceful-shutdown", str(CLOSE_SECONDS)]
    command = [sys.executable, "-m", "bentoml", "serve", SERVICES[role or "gateway"], *address, *limit]
    # A session of its own: Ctrl-C reaches this process alone, which then stops the services.
    # SIGKILL if this process dies: circus drops a SIGTERM while it starts workers. The workers end with their parent.
    ending = preexec(signal.SIGKILL)
    return subprocess.Popen(command, env=os.environ | variables, start_new_session=True, preexec_fn=ending)


def _supervise(
    service: subprocess.Popen[bytes], settings: Settings, stop: _StopSignals, waits: bool, log: Log, addresses: str
) -> int:
    started, ready = time.monotonic(), False
    while not stop.received:
        code = service.poll()
        if code is not None:
            raise SettingsError(_ended(code))
        if not ready and (wrong := probe.wrong_at(f"{_url(settings)}/readyz", READY_SECONDS)) is None:
            ready = True
            log(f"ready after {time.monotonic() - started:.1f} s at {addresses} (Ctrl-C stops)")
        if not (ready or waits) and time.monotonic() - started > START_SECONDS:
            raise SettingsError(f"The service was not ready after {START_SECONDS} s ({wrong}); its log has more.")
        time.sleep(0.2 if not ready else 0.5)
    log("stopping ...")
    return 0


def _ended(code: int) -> str:
    """The reason why BentoML's process ended, by its exit code."""
    if code >= 0:
        return f"The service ended with code {code}; the lines above have the reason."
    cause: dict[int, str] = {
        signal.SIGBUS: " The disk of TANDEM_HOME may be full.",
        signal.SIGKILL: " Memory may have run out.",
    }
    name = signal.Signals(-code).name if -code in signal.Signals.__members__.values() else f"signal {-code}"
    return f"The service was ended by {name}.{cause.get(-code, '')}"


def _end(service: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM until the services have ended, as circus drops one while it starts a worker; SIGKILL at the end.

    Each worker has a session of its own, so SIGKILL goes to each process. A worker that hangs handles no SIGTERM.
    """
    end = time.monotonic() + STOP_SECONDS
    while (left := end - time.monotonic()) > 0:
        service.terminate()
        with suppress(subprocess.TimeoutExpired):
            service.wait(min(SIGNAL_AGAIN_SECONDS, left))
            return
    left = psutil.Process(service.pid).children(recursive=True)
    service.kill()
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    service.wait()
