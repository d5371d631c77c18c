"""Run the deployment: check what it needs, start it, keep its store alive, and end all of it in order."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import redis

from recsys.cache import GenerationCache
from recsys.environment import Environment
from recsys.errors import NOTHING_LIVE, SettingsError, StoreError, StoreUnavailable
from recsys.lifeline import preexec
from recsys.rules import RulesFile
from recsys.store.base import LIVE
from recsys.store.connect import OpenStore, open_store
from recsys.store.redis import RedisGenerationStore
from service import probe
from service.auth import setup
from service.auth.tls import Tls
from service.generations.fallback import GenerationFallback
from service.ports import place, require_free
from service.settings import STARTER, Settings
from service.telemetry import exporters

START_SECONDS = 120
STOP_SECONDS = 28.0
"""Time for the services to stop in order (`service.drain`). The store stops after them, within 30 s."""

CLOSE_SECONDS = 8
"""Time for the HTTP requests in flight when the gateway closes. A client that reads slowly would take it all."""

ROOM = 1 << 20
"""Bytes that have to be free where state lives: what is mapped there ends the process that writes it where none is."""

ASK_AGAIN_SECONDS = 5
READY_SECONDS = 2
"""For /readyz to answer in."""

KEEP_SECONDS = 0.5
SERVICES = {
    "gateway": "service.gateway:Gateway",
    "retrieval": "service.retrieval:Retrieval",
    "ranking": "service.ranking:Ranking",
}
"""What a role is to BentoML; the gateway starts the others beside it where no URL says that they are away."""

CALLEES = ("retrieval", "ranking")
"""Roles that have one port, and neither gRPC nor keys."""

Say = Callable[[str], None]


def serve(settings: Settings, environment: Environment, say: Say, role: str | None = None) -> int:
    """Serve until told to stop; the exit code. SettingsError, RulesError or StoreUnavailable where it can't start.

    role: the one service of several hosts' that this is; None for all that no URL says is elsewhere. Such a one is
    minded by an orchestrator and starts with nothing live and no Redis in reach, too.
    """
    check(settings, environment, role)
    waits = settings.start_empty or role is not None
    with _reached(environment, waits, say) as store:
        live = _to_serve(store, environment, waits, say)
        stop = _StopSignals()
        if compiles_each_time():
            say(
                "PYTHONDONTWRITEBYTECODE is set and the libraries are not compiled: each process compiles what it "
                "imports, which more than doubles a start. Unset it, or run once: "
                f"{sys.executable} -m compileall -q {sysconfig.get_path('purelib')}"
            )
        say(f"starting {_told(settings, role)} for {live} ...")
        service = _start(settings, environment, store.url, role)
        try:
            return _supervise(service, settings, store, stop, waits, say, doors(settings, role))
        finally:
            _end(service)


def _told(settings: Settings, role: str | None) -> str:
    """What starts here."""
    if role in CALLEES:
        return role
    away = {"retrieval": settings.retrieval_url, "ranking": settings.ranking_url}
    here = ", ".join(["the gateway", *(name for name, url in away.items() if not url)])
    return f"{here} ({settings.topology})" + "".join(f", {name} at {url}" for name, url in away.items() if url)


def _reached(environment: Environment, waits: bool, say: Say) -> OpenStore:
    """The store; where it is away and this host has a generation, or waits for one, what it would be reached by."""
    try:
        return open_store(environment)
    except StoreUnavailable as error:
        if environment.redis_url is None or not (waits or fallback(environment).ids()):
            raise
        say(f"{error} Serving what lies on this host, if anything does, until one answers.")
        return OpenStore(environment.redis_url)


def _to_serve(store: OpenStore, environment: Environment, waits: bool, say: Say) -> str:
    """What to start with: what is live, else what lies on this host; SettingsError where neither is, and none waits."""
    with suppress(StoreUnavailable):
        live = store.generations().alias(LIVE)
        if live is not None:
            return f"generation {live}"
        say("Nothing is live in the store.")
    here = fallback(environment).ids()
    if here:
        return f"generation {here[0]}"
    if waits:
        return "whatever goes live first"
    raise SettingsError(NOTHING_LIVE)


def check(settings: Settings, environment: Environment, role: str | None = None) -> None:
    """Whether it can serve.

    SettingsError where a port is taken or open to strangers, the keys or certificates are wrong, the state can't be
    written, an exporter of traces is not installed or a role lacks what it needs of others; RulesError where the rules
    are wrong.
    """
    if role is not None and environment.redis_url is None:
        raise SettingsError(f"The role {role} needs REDIS_URL: all hosts serve from one store.")
    if role == "gateway" and not (settings.retrieval_url and settings.ranking_url):
        raise SettingsError(
            "The role gateway needs TANDEM_RETRIEVAL_URL and TANDEM_RANKING_URL, as http://host:port; without --role "
            "what has no URL starts beside it."
        )
    exporters.check(settings.traces)
    if tls := Tls.from_settings(settings):
        tls.check()
    environment.folder("cache", ROOM)
    RulesFile(environment.rules, environment.rules_named)
    if role in (None, "gateway"):
        setup.check(settings)
    require_free(settings.host, settings.port, "PORT")
    if settings.grpc_port and role in (None, "gateway"):
        require_free(settings.host, settings.grpc_port, "GRPC_PORT")


def compiles_each_time() -> bool:
    """Whether Python keeps nothing of what it compiles, and nobody compiled a library, as pip does, before."""
    forbidden = os.environ.get("PYTHONDONTWRITEBYTECODE")  # -B is not passed on to the processes of a deployment
    return bool(forbidden) and not Path(importlib.util.cache_from_source(str(redis.__file__))).exists()


class _StopSignals:
    """Remembers that a stop was asked for, instead of breaking whatever runs."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def _start(settings: Settings, environment: Environment, store_url: str, role: str | None) -> subprocess.Popen[bytes]:
    variables = {
        "REDIS_URL": store_url,
        "TANDEM_HOME": str(environment.home),
        STARTER: str(os.getpid()),
        "BENTOML_HOME": str(environment.folder("bentoml")),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    place = ["--host", settings.host, "--port", str(settings.port)]
    limit = ["--timeout-graceful-shutdown", str(CLOSE_SECONDS)]
    command = [sys.executable, "-m", "bentoml", "serve", SERVICES[role or "gateway"], *place, *limit]
    # A session of its own: Ctrl-C reaches this process alone, which then stops the services in order.
    # Killed and not asked, should this process die: while it starts its workers, circus drops a SIGTERM ("arbiter is
    # already running arbiter_start_watchers") and lives on for ever. The workers are tied to it, and end by themselves.
    ending = preexec(signal.SIGKILL)
    return subprocess.Popen(command, env=os.environ | variables, start_new_session=True, preexec_fn=ending)


def _supervise(
    service: subprocess.Popen[bytes],
    settings: Settings,
    store: OpenStore,
    stop: _StopSignals,
    waits: bool,
    say: Say,
    told: str,
) -> int:
    started, ready = time.monotonic(), False
    threading.Thread(target=_keep, args=(store, stop, say), name="keep", daemon=True).start()
    while not stop.asked:
        code = service.poll()
        if code is not None:
            raise SettingsError(_ended(code))
        if not ready and (wrong := probe.wrong_at(f"{_url(settings)}/readyz", READY_SECONDS)) is None:
            ready = True
            say(f"ready after {time.monotonic() - started:.1f} s at {told} (Ctrl-C stops)")
        if not (ready or waits) and time.monotonic() - started > START_SECONDS:
            raise SettingsError(f"The service was not ready after {START_SECONDS} s ({wrong}); its log has more.")
        time.sleep(0.2 if not ready else 0.5)
    say("stopping ...")
    return 0


def _ended(code: int) -> str:
    """Why the services are gone, as far as the code of their parent tells it."""
    if code >= 0:
        return f"The service ended by itself with code {code}; its lines above say why."
    cause: dict[int, str] = {
        signal.SIGBUS: " The disk of TANDEM_HOME may be full.",
        signal.SIGKILL: " Memory may have run out.",
    }
    name = signal.Signals(-code).name if -code in signal.Signals.__members__.values() else f"signal {-code}"
    return f"The service was ended by {name}.{cause.get(-code, '')}"


def fallback(environment: Environment) -> GenerationFallback:
    """What this host can serve without a store."""
    store = RedisGenerationStore(environment.redis_url or "unix:///nowhere")  # not read
    return GenerationFallback(GenerationCache(environment.folder("cache"), store))


def _keep(store: OpenStore, stop: _StopSignals, say: Say) -> None:
    """Start the embedded store again whenever it is gone; one that can't be costs users their history, and no more."""
    since: float | None = None
    while not stop.asked:
        try:
            if store.keep():
                say("the store was gone, and is started again.")
            elif since is not None:
                say(f"the store answers again after {time.monotonic() - since:.0f} s.")
            since = None
        except (SettingsError, StoreError) as error:
            if since is None:
                say(f"{error} Serving goes on without what users did, and says so.")
                since = time.monotonic()
        time.sleep(KEEP_SECONDS)


def _url(settings: Settings) -> str:
    return f"{'https' if settings.tls_cert else 'http'}://{place(settings.host, settings.port)}"


def doors(settings: Settings, role: str | None = None) -> str:
    """The addresses of the ports, for the log."""
    if role in CALLEES:
        return _url(settings)
    scheme = "grpcs" if settings.tls_cert else "grpc"
    rpc = f" and {scheme}://{place(settings.host, settings.grpc_port)}" if settings.grpc_port else ""
    if not (setup.keys_required(settings) and settings.admin_port):
        return _url(settings) + rpc
    scheme = "https" if settings.admin_tls else "http"
    return f"{_url(settings)}{rpc}, admin port {scheme}://{place(settings.admin_host, settings.admin_port)}"


def _end(service: subprocess.Popen[bytes]) -> None:
    """Ask the services to stop, again where circus dropped it while it started a worker; insist after a while."""
    end = time.monotonic() + STOP_SECONDS
    while (left := end - time.monotonic()) > 0:
        service.terminate()
        with suppress(subprocess.TimeoutExpired):
            service.wait(min(ASK_AGAIN_SECONDS, left))
            return
    os.killpg(service.pid, signal.SIGKILL)
    service.wait()
