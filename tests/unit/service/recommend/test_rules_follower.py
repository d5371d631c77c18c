"""The rules in force in a gateway, and the problems of the file of rules."""

import asyncio
import time

import pytest

from recsys.environment import Environment
from recsys.rules import Rules, RulesFile
from service.settings import Settings
from service.verbs.surfaces import SurfacesFollower

pytestmark = pytest.mark.anyio


def follower(home):
    """A follower of the rules and surfaces in a folder."""
    files = {"rules": home / "rules.toml", "surfaces": home / "surfaces.toml"}
    return SurfacesFollower(Environment(home, None, **files), Settings())


def test_a_file_that_is_just_being_written_changes_nothing(tmp_path):
    """Editors empty a file first. An empty file is in force if it is empty at the next check too."""
    path = tmp_path / "rules.toml"
    path.write_text("[diversity]\nweight = 0.5\n")
    file = RulesFile(path)
    before = file.current
    for text in ("", "[[cap]]\ncolumn = 3\n"):
        path.write_text(text)
        file.refresh()
        assert file.current is before
    assert file.fault
    path.write_text("")
    file.refresh()
    assert file.current is before
    file.refresh()
    assert file.current == Rules()
    assert file.fault is None


async def test_a_failed_check_does_not_end_the_following(tmp_path, monkeypatch):
    """An edit after an error of the disk is in force."""
    path = tmp_path / "rules.toml"
    path.write_text("")
    surfaces = follower(tmp_path)
    monkeypatch.setattr("service.verbs.surfaces.POLL_SECONDS", 0.01)
    (rules,) = surfaces._rules.values()
    reads, look = [], rules._file.refresh

    def breaks_once():
        reads.append(None)
        if len(reads) == 1:
            raise OSError("no such disk")
        look()

    monkeypatch.setattr(rules._file, "refresh", breaks_once)

    following = asyncio.create_task(surfaces.follow(lambda: None))
    await asyncio.sleep(0.1)
    path.write_text("[diversity]\nweight = 0.5\n")
    end = time.monotonic() + 10
    while rules._file.current == Rules() and time.monotonic() < end:
        await asyncio.sleep(0.01)
    following.cancel()
    assert rules._file.current != Rules()
