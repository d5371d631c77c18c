"""`open_store`: the embedded store, errors of REDIS_URL, and the log lines about restarts."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from recsys.environment import Environment
from recsys.errors import SettingsError, StoreError, StoreUnavailable
from recsys.store import from_environment, open_store


class TestOpenStore:
    def test_embedded(self, tmp_path: Path) -> None:
        """Without REDIS_URL the store is embedded under the home, and ends with the block."""
        with open_store(Environment(tmp_path, None)) as store:
            assert store.url.startswith("unix://")
            assert str(tmp_path) in store.url
            store.generations().ping()
        with pytest.raises(StoreUnavailable):
            store.generations().ping()

    def test_unreachable(self, tmp_path: Path) -> None:
        """The error names the address without the password, and the remedy."""
        with pytest.raises(StoreUnavailable) as caught:
            open_store(Environment(tmp_path, "redis://me:secret@127.0.0.1:1/3"))
        assert str(caught.value) == (
            "No Redis answers at redis://127.0.0.1:1 (connection refused)."
            " Start one, or unset REDIS_URL to use the embedded store."
        )

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "foo",
            "http://host",
            "redis://host:secret",
            "redis://:sec/ret@host",
            "unix://",
            "redis://h/0?db=x",
            "redis+sentinel://h:1,h:2",
            "redis+sentinel://u:sec@h:1,/shop",
            "redis+sentinel://h:1,h:sec/shop",
            "redis+sentinel://u:sec@h:1/shop/0",
        ],
    )
    def test_malformed(self, tmp_path: Path, url: str) -> None:
        """The error for a malformed REDIS_URL has an example, and does not repeat the URL."""
        with pytest.raises(SettingsError, match="redis://host:6379/0") as caught:
            open_store(Environment(tmp_path, url))
        assert "sec" not in str(caught.value)


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
