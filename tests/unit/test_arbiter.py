"""What the parent of the workers does when one dies, on an arbiter that only notes what it was asked."""

import logging
import sys
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from bentoml._internal.utils.circus import Arbiter
from circus.exc import ConflictError
from circus.process import DEAD_OR_ZOMBIE, RUNNING
from circus.watcher import Watcher

from service import forking
from service.arbiter import AT_ONCE, CONTAINER, EARLY, Attendant, attend


class FakeLoop:
    """Notes what is to be called later."""

    def __init__(self):
        self.later = []

    def call_later(self, _, callback):
        self.later.append(callback)

    def add_future(self, future, callback):
        callback(future)


class FakeEnding:
    """Notes that the end was asked for."""

    broken = None

    def begin(self, broken=False):
        self.broken = broken


class FakeArbiter:
    """One watcher with one process."""

    def __init__(self):
        self.loop, self._stopping, self.managed, self.busy = FakeLoop(), False, 0, False
        self.age = 100.0
        self.process = SimpleNamespace(status=RUNNING, age=lambda: self.age)
        self.watchers = [SimpleNamespace(name="service_Ranking", processes={7: self.process})]
        self._pid = 7

    def manage_watchers(self):
        if self.busy:
            raise ConflictError("busy")
        self.managed += 1
        self.respawn()
        done = Future()
        done.set_result(None)
        return done

    def respawn(self):
        self._pid += 1
        self.process.status, self.watchers[0].processes = RUNNING, {self._pid: self.process}

    def kill(self, age):
        self.process.status, self.age = DEAD_OR_ZOMBIE, age


@pytest.fixture
def arbiter():
    return FakeArbiter()


@pytest.fixture
def ending():
    return FakeEnding()


@pytest.fixture
def attendant(arbiter, ending, monkeypatch):
    monkeypatch.delenv(CONTAINER, raising=False)
    return Attendant(arbiter, None, ending)


def test_a_dead_worker_is_replaced_at_once(arbiter, attendant):
    """And the end of a child that is no worker moves nothing."""
    attendant._look()
    assert arbiter.managed == 0
    arbiter.kill(age=100)
    attendant._look()
    assert arbiter.managed == 1


def test_what_dies_again_and_again_waits_for_the_slow_look(arbiter, attendant, ending):
    """A worker that can't start would take a core for ever; one that lived long is replaced at once again."""
    for _ in range(AT_ONCE + 2):
        arbiter.kill(age=EARLY / 2)
        attendant._look()
    assert arbiter.managed == AT_ONCE
    assert ending.broken is None
    arbiter.respawn()  # by that look
    arbiter.kill(age=EARLY * 2)
    attendant._look()
    assert arbiter.managed == AT_ONCE + 1


def test_it_may_be_the_forkserver_that_they_die_of(arbiter, ending, monkeypatch, caplog):
    """After two early deaths in a row the next is a new interpreter, and that is said; after one, or late ones, not."""
    monkeypatch.delenv(CONTAINER, raising=False)
    ended = []
    server = SimpleNamespace(drop_ended=lambda: False, kill=lambda: not ended.append(arbiter.managed))
    attendant = Attendant(arbiter, server, ending)
    for age in (EARLY / 2, EARLY * 2, EARLY / 2):
        arbiter.kill(age)
        attendant._look()
    assert ended == []
    assert "forked" not in caplog.text
    arbiter.kill(EARLY / 2)
    attendant._look()
    assert ended == [3]  # before the fourth is started
    assert "Ranking died 2 times in a row" in caplog.text
    arbiter.kill(EARLY * 2)
    attendant._look()
    attendant._look()
    assert ended == [3]


@pytest.mark.parametrize(
    ("args", "stdin", "forked"),
    [
        (["-m", forking.WORKER, "service.gateway:Gateway"], True, True),
        (["-m", forking.WORKER, "service.gateway:Gateway"], False, False),
        (["-c", "from circus import plugins;plugins.main()"], True, False),
        (None, True, False),
    ],
)
def test_in_development_nothing_is_forked(args, stdin, forked):
    """What reloads would be forked with the old code, and who debugs wants to type."""
    assert forking.is_worker(SimpleNamespace(args=args, close_child_stdin=stdin)) is forked


@pytest.mark.parametrize("age", [EARLY / 2, EARLY * 2])
def test_in_a_container_what_dies_again_and_again_ends_it(arbiter, attendant, ending, monkeypatch, caplog, age):
    """With a line that says so: nobody would look at it otherwise. What lives for a while is replaced for ever."""
    monkeypatch.setenv(CONTAINER, "True")
    for _ in range(AT_ONCE):
        arbiter.kill(age)
        attendant._look()
    assert ending.broken is None
    arbiter.kill(age)
    attendant._look()
    assert ending.broken is (True if age < EARLY else None)
    assert ("Ranking can't be mended here" in caplog.text) is (age < EARLY)


def test_one_death_is_counted_once(arbiter, attendant, ending, monkeypatch):
    """However often the parent looks before it gets to it."""
    monkeypatch.setenv(CONTAINER, "True")
    arbiter.kill(age=1)
    for _ in range(AT_ONCE + 2):
        arbiter.busy = True
        attendant._look()
    assert ending.broken is None


def test_a_busy_arbiter_is_asked_again(arbiter, attendant):
    """One that starts or stops something refuses; one that stops for good is left alone."""
    arbiter.kill(age=100)
    arbiter.busy = True
    attendant._look()
    assert (arbiter.managed, len(arbiter.loop.later)) == (0, 1)
    arbiter.busy = False
    arbiter.loop.later.pop()()
    assert arbiter.managed == 1
    arbiter.kill(age=100)
    arbiter._stopping = True
    attendant._look()
    assert (arbiter.managed, arbiter.loop.later) == (1, [])


def test_a_death_and_a_start_are_told(arbiter, attendant, caplog):
    """One line each, with the service, the process and how it ended; a first start is no news."""
    [watcher] = arbiter.watchers
    with caplog.at_level(logging.INFO, "tandem"):
        assert attendant._note_start(watcher, 7)
        attendant._note_death(watcher, process_pid=7, exit_code=-9, time=0)
        arbiter.respawn()
        assert attendant._note_start(watcher, 8)
    assert caplog.messages == [
        "The worker of Ranking, process 7, ended by signal 9.",
        "Process 8 takes its place as a worker of Ranking.",
    ]


def test_a_death_that_nobody_heard_of_is_told(arbiter, attendant, caplog):
    """One that circus let go of without its hook, since it died while another was started; once."""
    [watcher] = arbiter.watchers
    arbiter.process.poll = lambda: -9
    with caplog.at_level(logging.INFO, "tandem"):
        for _ in range(3):
            assert attendant._note_start(watcher, next(iter(watcher.processes)))
            arbiter.respawn()
    assert caplog.messages == [
        "The worker of Ranking, process 7, ended by signal 9.",
        "Process 8 takes its place as a worker of Ranking.",
        "The worker of Ranking, process 8, ended by signal 9.",
        "Process 9 takes its place as a worker of Ranking.",
    ]


@pytest.mark.parametrize("busy", [False, True])
def test_the_slow_look_waits_where_the_arbiter_is_busy(arbiter, attendant, busy, monkeypatch):
    """It would have a traceback printed; the next look is soon enough."""
    monkeypatch.setattr("service.arbiter.signal.signal", lambda *_: None)
    arbiter.watchers[0].__dict__.update(env={}, numprocesses=1, hooks={}, args=None, close_child_stdin=True)
    attendant.begin()
    arbiter.busy = busy
    assert (arbiter.manage_watchers() is None) is busy


def test_another_bentoml_is_left_as_it_is(monkeypatch, caplog):
    """And what that costs is said."""
    monkeypatch.setattr(Arbiter, "start", start := Arbiter.start)
    monkeypatch.setattr(Arbiter, "stop", stop := Arbiter.stop)
    monkeypatch.delattr(Watcher, "_process_class")
    attend(True)
    assert (Arbiter.start, Arbiter.stop) == (start, stop)
    assert "comes back after" in caplog.text
    monkeypatch.setitem(sys.modules, "circus.process", None)
    attend(True)
    assert Arbiter.start is start
