"""The log lines about restarts of the embedded store."""

import threading
from types import SimpleNamespace

from recsys.errors import StoreError
from recsys.store import from_environment


def test_restarts_and_failures_are_logged_once(monkeypatch):
    """A restart, the first of several failures and a recovery are logged; a closed store is not restarted."""
    monkeypatch.setattr(from_environment, "CHECK_SECONDS", 0)
    done, lines = threading.Event(), []
    outcomes = [False, True, False, StoreError("The disk is full."), StoreError("It is still full."), False]

    def keep():
        if not outcomes:
            done.set()
            return False
        outcome = outcomes.pop(0)
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome

    store = from_environment.OpenStore("unix:///nowhere", SimpleNamespace(restart_if_gone=keep, stop=lambda: None))
    store.keep_running(lines.append)
    assert done.wait(30)
    store.close()
    assert not any(thread.name == "keep" for thread in threading.enumerate())
    assert lines == [
        "The store was gone, and is started again.",
        "The disk is full. Until the store can be started, histories and events are missing.",
        "The store answers again after 0 s.",
    ]
