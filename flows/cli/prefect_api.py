"""Prepare a `python -m flows` command that runs Prefect flows: import Prefect, and find or start its API server.

A temporary server starts where PREFECT_API_URL is not set. This module imports Prefect only when it is needed, because
commands such as rollback do without it.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from recsys.errors import SettingsError
from recsys.process import parent_death
from recsys.process.command_exit import interruptible_imports

LOGGERS_WITH_TRACEBACKS = "prefect.flow_runs", "prefect.task_runs", "prefect.engine"

LOCALHOST = "127.0.0.1"

START_SECONDS = 90.0
"""The limit of a server's start: 5 s on idle cores, 18 s on busy ones, and longer at the first start."""


@contextmanager
def prefect_imports(*cleanup: Callable[[], None]) -> Iterator[None]:
    """Import flows inside the block. After it Prefect's API answers: that of the environment, or a temporary server.

    cleanup: called before Ctrl-C ends the process during the imports.
    """
    bypass_proxy()
    with interruptible_imports(*cleanup):
        yield
    quiet_console()
    _check_api()


def quiet_console() -> None:
    """Print Prefect's warnings only, unless a log level is set, and no traceback of an error that `main` prints.

    Prefect's API receives all lines.
    """
    from prefect.settings import get_current_settings

    level_is_set = "level" in get_current_settings().logging.model_fields_set
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: not (record.exc_info and record.name.startswith(LOGGERS_WITH_TRACEBACKS)))
        if not level_is_set:
            handler.setLevel(logging.WARNING)


@contextmanager
def server_for_schedules() -> Iterator[str]:
    """The URL of Prefect's API: the one that is set, or that of a server started here.

    The temporary server of a single run does not start scheduled runs.
    """
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    url = get_current_settings().api.url
    if url:
        _check_api()
        yield url
        return
    port = get_current_settings().server.api.port
    url = f"http://{LOCALHOST}:{port}/api"
    _check_port(port)
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", LOCALHOST, "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches this process, which ends the server after its runs
        preexec_fn=parent_death.preexec(),
    )
    try:
        with temporary_settings({PREFECT_API_URL: url}):
            _wait_for_server(url, process)
            yield url
    finally:
        process.terminate()
        process.wait()


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        if probe.connect_ex((LOCALHOST, port)) == 0:
            raise SettingsError(
                f"Port {port} is in use. If a Prefect server listens there, use it: PREFECT_API_URL=http://{LOCALHOST}:"
                f"{port}/api. Otherwise set PREFECT_SERVER_API_PORT to a free port."
            )


def _wait_for_server(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while error := _api_error():
        if process.poll() is not None:
            raise SettingsError(f"`prefect server start` ended with code {process.returncode}; its lines are above.")
        if time.monotonic() > deadline:
            raise SettingsError(f"Prefect's server did not answer at {url} after {START_SECONDS:.0f} s ({error}).")
        time.sleep(0.2)


def _check_api() -> None:
    from prefect.settings import get_current_settings

    if error := _api_error():
        url = get_current_settings().api.url
        place = f"at {without_password(url)}" if url else "of a run without an API"
        raise SettingsError(
            f"No Prefect server answers {place} ({error}). Start it, or set PREFECT_API_URL or a profile of Prefect's "
            "(`prefect profile use`) to another."
        )


def without_password(url: str) -> str:
    """A URL without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _api_error() -> str | None:
    """The error of Prefect's API; None if it answers. Where no API is set, Prefect starts its temporary server here."""
    from prefect import get_client

    try:
        with get_client(sync_client=True) as client:
            error = client.api_healthcheck()
    except (RuntimeError, ValueError) as refused:
        error = refused
    return None if error is None else (str(error).splitlines() or [type(error).__name__])[0]


def bypass_proxy() -> None:
    """Connect to servers of this host directly: httpx sends requests for 127.0.0.1 to a proxy too."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), LOCALHOST)))
