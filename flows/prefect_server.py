"""A Prefect server for one run, where no PREFECT_API_URL is given. Imports no Prefect.

Prefect starts one by itself, but that one outlives a killed run, dies of our Ctrl-C before the run can say so, and
starts only once Prefect and torch are imported. This one is tied to our life and starts beside the imports.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from recsys import lifeline
from recsys.errors import SettingsError

API_URL = "PREFECT_API_URL"

TEMPORARY = {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect sets for its temporary servers: no services for schedules."""

START_SECONDS = 90.0
"""How long a start may take: 5 s on idle cores, 18 s on busy ones, and a first start also makes the database."""


class PrefectServer:
    """The server at PREFECT_API_URL: the one that is given, or one of our own until this process ends.

    keeps_time: whether our own starts what is due, which costs it a second more to start.
    """

    def __init__(self, home: Path, *, keeps_time: bool = False) -> None:
        self._log = home / "server.log"
        self._keeps_time = keeps_time
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start a server if none is given. Call it before Prefect is imported: Prefect reads the URL then."""
        if os.environ.get(API_URL):
            return
        port = _free_port()
        os.environ[API_URL] = f"http://127.0.0.1:{port}/api"
        for name in ("no_proxy", "NO_PROXY"):  # a proxy does not know our own server
            os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))
        self._process = self._start(port)
        # Last registered runs first: what Prefect still sends when it ends finds the server up.
        atexit.register(self.stop)

    def stop(self) -> None:
        """End the server if it was started here."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait(self) -> None:
        """Return when the server answers; SettingsError if it does not."""
        url = os.environ[API_URL]
        deadline = time.monotonic() + (START_SECONDS if self._process else 5.0)
        while not _answers(url):
            if self._process is not None and self._process.poll() is not None:
                raise SettingsError(f"Prefect's server did not start: {self._last_words()}")
            if time.monotonic() > deadline:
                advice = f"{self._log} may say why." if self._process else f"Start one, or unset {API_URL}."
                raise SettingsError(f"No Prefect server answers at {url}. {advice}")
            time.sleep(0.1)

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        found = importlib.util.find_spec("prefect")
        if found is None or found.origin is None:
            raise SettingsError("Prefect is not installed; install it with: pip install prefect")
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "uvicorn", "--app-dir", str(Path(found.origin).parent.parent)),
                    *("--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1"),
                    *("--port", str(port), "--log-level", "error", "--lifespan", "on"),
                ],
                env=os.environ | {"PREFECT_UI_ENABLED": "0"} | ({} if self._keeps_time else TEMPORARY),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we end the server when the run is done with it
                preexec_fn=lifeline.preexec(),
            )

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing."


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
