"""What is forked becomes what it is told to, as a child of who asked; a real forkserver that has nothing to import."""

import json
import os
import select
import signal
import socket
import sys
import time
from ctypes import CDLL
from pathlib import Path

import pytest

from service import forking
from service.forkserver import FIRST

WAIT = "from service import forkserver as f; f.MODELS = f.AT_ONCE = f.TOLD = (); f.main()"

TELLS = """
import json, os, socket, sys
from pathlib import Path
assert __name__ == "__main__"
command = Path("/proc/self/cmdline").read_bytes().rstrip(b"\\0").split(b"\\0")
told = [sys.argv[1:], os.environ.get("ROLE"), os.environ.get("OLD"), sys.stdin.read(), [c.decode() for c in command],
        os.getcwd(), os.getppid(), os.getsid(0) == os.getpid()]
answer, _ = socket.socket(fileno=int(sys.argv[-1])).accept()
answer.sendall(json.dumps(told).encode())
answer.close()
sys.exit(7)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing adopts what it did not start")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A forkserver in which a module `tells` can be run."""
    (tmp_path / "tells.py").write_text(TELLS)
    monkeypatch.setattr(forking, "MODULE", ("-c", WAIT))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("OLD", "yes")
    (tmp_path / "service").mkdir()  # a package of the user's own, in the folder in which they start it
    (tmp_path / "service" / "__init__.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    made = forking.Forkserver()
    made.begin()
    made.tell({"TOLD": "yes"})
    made.wait()
    yield made
    made.end()
    assert made._process is None or made._process.wait(10) in (0, -signal.SIGKILL)
    CDLL(None).prctl(forking._PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture
def listener():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        yield made


def heard(listener):
    """What the worker behind it says."""
    with socket.create_connection(listener.getsockname(), 10) as asked:
        return json.loads(b"".join(iter(lambda: asked.recv(1 << 16), b"")))


def code(worker):
    end = time.monotonic() + 10
    while (found := worker.poll()) is None and time.monotonic() < end:
        time.sleep(0.01)
    return found


COMMAND = [sys.executable, "-m", "tells", "--service-name", "Ranking", "--fd", str(FIRST)]


def test_it_runs_the_command_as_a_child_of_who_asked(server, listener, tmp_path):
    """With its arguments, listener, folder and environment and no other, nothing on its input, and told so by `ps`."""
    variables = {"ROLE": "ranking", "PATH": os.environ["PATH"], "LONG": "x" * 300_000}
    for _ in range(2):
        worker = server.fork(COMMAND, variables, str(tmp_path), [listener.fileno()])
        arguments, role, old, read, shown, folder, parent, leads = heard(listener)
        assert (arguments, role, old, read, shown) == (COMMAND[3:], "ranking", None, "", COMMAND)
        assert (folder, parent, leads) == (str(tmp_path), os.getpid(), True)
        assert code(worker) == 7


def test_a_death_is_told(server, listener, tmp_path):
    """As of any child."""
    worker = server.fork(COMMAND, {}, str(tmp_path), [listener.fileno()])
    worker.kill()
    assert code(worker) == -signal.SIGKILL
    assert server._process.poll() is None


def test_who_asks_in_vain_is_told_at_once(server, listener, tmp_path):
    """Killed, it forks nothing; its end is told once, and another can be begun."""
    assert server.fork(COMMAND, {}, str(tmp_path), [listener.fileno()])
    assert heard(listener)
    server._process.kill()
    server._process.wait()
    assert server.fork(COMMAND, {}, str(tmp_path), [listener.fileno()]) is None
    assert server.drop_ended()
    assert not server.drop_ended()
    assert server.fork(COMMAND, {}, str(tmp_path), [listener.fileno()]) is None
    server.begin()
    server.tell({})
    end = time.monotonic() + 20  # whoever asks meanwhile does not wait for it
    while (worker := server.fork(COMMAND, {}, str(tmp_path), [listener.fileno()])) is None and time.monotonic() < end:
        time.sleep(0.05)
    assert heard(listener)
    assert code(worker) == 7


def test_one_that_nobody_listened_to_ends_in_order(server):
    """One that follows another says that it is ready, and nobody reads it before a fork is asked for."""
    server.kill()
    server._process.wait()
    assert server.drop_ended()
    server.begin()
    server.tell({})
    assert select.select([server._control], [], [], 20)[0]
    server.end()
    assert server._process.wait(10) == 0


def test_what_nobody_waited_for_ends(server, listener, tmp_path, monkeypatch):
    """Another has been started in its place meanwhile, so it never serves."""
    assert server.fork(COMMAND, {}, str(tmp_path), [listener.fileno()])
    assert heard(listener)
    monkeypatch.setattr(forking, "FORK_SECONDS", -1)
    assert server.fork(COMMAND, {}, str(tmp_path), [listener.fileno()]) is None
    assert server._process.wait(10) == -signal.SIGKILL
    end = time.monotonic() + 10
    while forked_here() and time.monotonic() < end:
        time.sleep(0.05)
    assert forked_here() == []


def test_one_that_does_not_answer_is_ended(server, listener, tmp_path, monkeypatch, caplog):
    """Stopped, it would never end by itself, and nobody would start another."""
    monkeypatch.setattr(forking, "FORK_SECONDS", 0.2)
    server._process.send_signal(signal.SIGSTOP)
    assert server.fork(COMMAND, {}, str(tmp_path), [listener.fileno()]) is None
    assert server._process.wait(10) == -signal.SIGKILL
    assert server.drop_ended()
    assert "did not answer" in caplog.text


def forked_here():
    """Children of this process that are forks, and live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z" and b"forkserver" in command:
            found.append(stat.parent.name)
    return found


def test_it_ends_with_who_started_it(server):
    """When nobody can ask any more."""
    server.end()
    assert server._process.wait(10) == 0
