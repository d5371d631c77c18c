"""What a verb that runs a flow needs: Prefect imported, its API reachable, and a server where there is none.

Imports no Prefect: the verbs that operate the store need none.
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
from recsys.process.interruption import interruptible_imports

TRACED = "prefect.flow_runs", "prefect.task_runs", "prefect.engine"

LOCALHOST = "127.0.0.1"
START_SECONDS = 90.0
"""A start took 5 s on idle cores and 18 s on busy ones. The first start also makes the database."""


@contextmanager
def started(*let_go: Callable[[], None]) -> Iterator[None]:
    """Import flows inside. On leaving, Prefect's API answers: that of the profile or environment, or a temporary one.

    let_go: called before Ctrl-C ends the process during the imports.
    """
    _without_proxy()
    with interruptible_imports(*let_go):
        yield
    quiet_console()
    _connect()


def quiet_console() -> None:
    """Print warnings only, unless a level of Prefect's logging is set, and no traceback of an error that `main` prints.

    Prefect's API gets every line all the same.
    """
    from prefect.settings import get_current_settings

    level_is_set = "level" in get_current_settings().logging.model_fields_set
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: not record.name.startswith(TRACED) or not record.exc_info)
        if not level_is_set:
            handler.setLevel(logging.WARNING)


@contextmanager
def server_where_none() -> Iterator[str]:
    """The URL of Prefect's API: the one that is set, or that of a server of our own, by `prefect server start`.

    The temporary server of a single run starts nothing that is due, so schedules need this one.
    """
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    url = get_current_settings().api.url
    if url:
        _connect()
        yield url
        return
    port = get_current_settings().server.api.port
    url = f"http://{LOCALHOST}:{port}/api"
    _check_free(port)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", LOCALHOST, "--port", str(port)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this process, which ends the server when its runs have ended
        preexec_fn=parent_death.preexec(),
    )
    try:
        with temporary_settings({PREFECT_API_URL: url}):
            _wait(url, process)
            yield url
    finally:
        process.terminate()
        process.wait()


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        if probe.connect_ex((LOCALHOST, port)) == 0:
            raise SettingsError(
                f"Port {port} is in use. If a Prefect server listens there, use it: PREFECT_API_URL=http://{LOCALHOST}:"
                f"{port}/api. Otherwise set PREFECT_SERVER_API_PORT to a free port."
            )


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while error := _failure():
        if process.poll() is not None:
            raise SettingsError(f"`prefect server start` ended with code {process.returncode}; its lines are above.")
        if time.monotonic() > deadline:
            raise SettingsError(f"Prefect's server did not answer at {url} after {START_SECONDS:.0f} s ({error}).")
        time.sleep(0.2)


def _connect() -> None:
    from prefect.settings import get_current_settings

    if error := _failure():
        where = get_current_settings().api.url
        place = f"at {without_password(where)}" if where else "of a run without an API"
        raise SettingsError(
            f"No Prefect server answers {place} ({error}). Start it, or set PREFECT_API_URL or a profile of Prefect's "
            "(`prefect profile use`) to another."
        )


def without_password(url: str) -> str:
    """A URL without the user and the password that may stand in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _failure() -> str | None:
    """Why Prefect's API does not answer; Prefect starts its temporary server here where no API is set."""
    from prefect import get_client

    try:
        with get_client(sync_client=True) as client:
            error = client.api_healthcheck()
    except (RuntimeError, ValueError) as refused:
        error = refused
    return None if error is None else (str(error).splitlines() or [type(error).__name__])[0]


def _without_proxy() -> None:
    """Reach servers on this host directly: httpx sends requests for 127.0.0.1 to a proxy, too."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), LOCALHOST)))
