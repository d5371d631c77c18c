"""The worker processes of the services: what their parent prepares, what each does first, and BentoML's options.

The parent is BentoML's process manager (circus). It starts the workers and restarts dead ones.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Any

import bentoml

from recsys.environment import Environment
from recsys.errors import SettingsError
from recsys.process.parent_death import tie_to_parent, watch_parent
from recsys.store.from_environment import open_store
from service import bentoml_patches, configuration
from service.auth import start_checks
from service.auth.tls import Tls
from service.generations import PINNED, pinned
from service.settings import STARTER, Settings
from service.telemetry import exporters
from service.telemetry.cpu_time import CpuTime

logger = logging.getLogger("tandem")

PARENT = "TANDEM_PARENT"
"""The environment variable with the pid of the workers' parent; a worker whose parent died while it loaded ends."""

RESTART_SECONDS = 1.0
"""Time between two checks for dead workers, which the process manager restarts. BentoML's default is 10 s."""

_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
}
"""For glibc. By default each thread has an arena that keeps freed memory: a retrieval worker with two generations of a
million items held 283 MiB, and holds 238 so. Arrays below 4 MiB, all that a request needs, stay on the heap."""

_THREADS = {"OPENBLAS_NUM_THREADS": "1"}
"""For numpy; the other cores are for other workers. `torch.set_num_threads` has no effect on numpy."""

OPTIONS: dict[str, Any] = {
    "envs": [{"name": name, "value": value} for name, value in (_MEMORY | _THREADS).items()],
    "logging": {"access": {"enabled": False}},
    "metrics": {"enabled": False},
    "tracing": {"excluded_urls": ".*"},
}
"""BentoML's options of all three services. Its log, metrics and spans name paths with user ids; `service.telemetry` has
the deployment's own."""


def prepare(environment: Environment, settings: Settings) -> None:
    """Set what the workers read, and patch BentoML. Each service calls it in the parent of all workers.

    Without REDIS_URL it starts the embedded store and keeps it alive; the store ends with that process.
    """
    if os.environ.get(PARENT) == str(os.getpid()):
        return
    exporters.check(settings.traces)
    if tls := Tls.from_settings(settings):
        tls.check()
    if starter := os.environ.get(STARTER):
        if starter != str(os.getppid()):
            raise SettingsError(f"{STARTER}={starter} is not the process that started this one. Unset the variable.")
        watch_parent(os.getppid(), lambda: os.kill(os.getpid(), signal.SIGKILL))  # the workers are tied to this one
    else:
        for line in configuration.unknown(os.environ):  # `python -m service serve` prints them itself
            logger.warning("%s", line)
    os.environ[PARENT] = str(os.getpid())
    if model := pinned.model():
        os.environ.setdefault(PINNED, str(model.resolve().path))  # a container names a folder that it may write
    if environment.redis_url is None:
        store = open_store(environment)
        os.environ["REDIS_URL"] = store.url
        store.keep_running(logger.warning)
    bentoml_patches.supervise(RESTART_SECONDS)


def become_worker() -> None:
    """The first step of each worker: quiet the logs of libraries, end when its parent ends, and count its CPU time."""
    logger.setLevel(logging.INFO)  # BentoML shows only warnings of other loggers
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # any client can cause uvicorn's warnings
    tie_to_parent()
    bentoml_patches.dispatch_at_once()
    CpuTime(str(bentoml.server_context.service_name)).start()
    if os.environ.get(PARENT) not in (None, str(os.getppid())):
        sys.exit("The process that started this worker is gone.")


def require_guarded(settings: Settings) -> None:
    """End the deployment where a worker of the gateway listens for other machines and no key is needed.

    `start_checks.check` ends most such starts sooner. The sockets also show addresses of BentoML's own configuration.
    """
    try:
        start_checks.check_listening(settings)
    except SettingsError as error:
        logger.critical("%s", error)
        if os.environ.get(PARENT) == str(os.getppid()):
            os.kill(os.getppid(), signal.SIGTERM)
        os._exit(1)  # an exception here becomes a traceback of BentoML's, and the parent starts another worker
