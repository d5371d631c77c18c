"""What the parent of all workers tells them, once, and what each of them does first."""

from __future__ import annotations

import logging
import os
import signal
import sys

from recsys.environment import Environment
from recsys.errors import SettingsError
from recsys.lifeline import tie_to_parent, watch_parent
from recsys.store.connect import open_store
from service import arbiter, bentoml_patches
from service.auth import setup
from service.auth.tls import Tls
from service.forking import LEAN_MALLOC, ONE_THREAD
from service.generations import pinned
from service.generations.fallback import PINNED
from service.settings import STARTER, Settings
from service.telemetry import exporters

logger = logging.getLogger("tandem")

ARBITER = "TANDEM_ARBITER"
"""Names the process that starts the workers, so that one whose starter died while it loaded knows."""


def prepare(environment: Environment, settings: Settings) -> None:
    """Called in the parent of all workers, by each service: tell them who it is, where the store is, what is pinned.

    Without REDIS_URL it starts the embedded store, which ends with that process.
    """
    if os.environ.get(ARBITER) == str(os.getpid()):
        return
    exporters.check(settings.traces)
    if tls := Tls.from_settings(settings):
        tls.check()
    os.environ[ARBITER] = str(os.getpid())
    for name, value in (LEAN_MALLOC | ONE_THREAD).items():
        os.environ.setdefault(name, value)
    if starter := os.environ.get(STARTER):
        watch_parent(int(starter), lambda: os.kill(os.getpid(), signal.SIGKILL))  # the workers are tied to this one
    if fault := pinned.fault():
        logger.warning(fault)
    if folder := pinned.folder():
        os.environ[PINNED] = str(folder)
    if environment.redis_url is None:
        os.environ["REDIS_URL"] = open_store(environment).url
    arbiter.attend(settings.forkserver, settings.drain_seconds)


def become_one() -> None:
    """What every worker does first: end with its parent."""
    logger.setLevel(logging.INFO)  # what BentoML shows of others begins with warnings
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # any client can cause uvicorn's warnings
    tie_to_parent()
    bentoml_patches.dispatch_at_once()
    if os.environ.get(ARBITER) not in (None, str(os.getppid())):
        sys.exit("The process that started this worker is gone.")


def require_guarded(settings: Settings) -> None:
    """End the deployment where a worker of the gateway listens for other machines and no key is needed.

    `setup.check` ends most such starts sooner. The sockets also show addresses of BentoML's own configuration.
    """
    try:
        setup.check_listening(settings)
    except SettingsError as error:
        logger.critical("%s", error)
        if os.environ.get(ARBITER) == str(os.getppid()):
            os.kill(os.getppid(), signal.SIGTERM)
        os._exit(1)  # an exception here becomes a traceback of BentoML's, and the parent starts another worker
