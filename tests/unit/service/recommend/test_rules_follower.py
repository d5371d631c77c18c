"""The rules in force in a gateway, and the problems of the file of rules."""

import asyncio
import time

import pytest

from recsys.fresh_items.put_items import PutItem, PutItems
from recsys.rules import Rules, RulesFile
from service.generations.served import ServedGeneration
from service.verbs.rules import RulesFollower


@pytest.fixture
def served(tiny_world):
    return ServedGeneration.load(tiny_world[0])


def test_an_unknown_item_of_a_rule_is_a_problem_until_it_is_put(tmp_path, served):
    """A rule with a mistyped id has no effect."""
    path = tmp_path / "rules.toml"
    path.write_text('[[pin]]\nitem = "drama-1"\nplace = 1\n[[boost]]\nitems = ["opera-1"]\nby = 1.0\n')
    rules = RulesFollower(path, tmp_path / "last")
    (problem,) = rules.problems(served)
    assert "boost" in problem
    assert "'opera-1'" in problem
    assert rules.problems(None) == []
    assert rules.problems(served.with_items(PutItems("a", 1, (PutItem("opera-1", 1, 1, 9e9),)))) == []


def test_the_log_names_rules_without_effect_once(tmp_path, served, monkeypatch, caplog):
    """After an edit, without a request: an unknown column and an unknown item are warnings, once each."""
    path = tmp_path / "rules.toml"
    path.write_text("")
    rules = RulesFollower(path, tmp_path / "last")
    monkeypatch.setattr("service.verbs.rules.POLL_SECONDS", 0.01)

    def warnings():
        return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    async def follow_an_edit():
        following = asyncio.create_task(rules.follow(lambda: served))
        path.write_text('[[cap]]\ncolumn = "actor"\nat_most = 1\n[[boost]]\nitems = ["opera-1"]\nby = 1.0\n')
        end = time.monotonic() + 30
        while len(warnings()) < 2 and time.monotonic() < end:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        following.cancel()

    asyncio.run(follow_an_edit())
    cap, boost = warnings()
    assert cap.startswith("A rule has no effect. cap: this generation has no categorical column 'actor'")
    assert boost.startswith("A rule has no effect. boost: no item of this generation, nor any put since, is 'opera-1'")


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


def test_a_failed_check_does_not_end_the_following(tmp_path, monkeypatch):
    """An edit after an error of the disk is in force."""
    path = tmp_path / "rules.toml"
    path.write_text("")
    rules = RulesFollower(path, tmp_path / "last")
    monkeypatch.setattr("service.verbs.rules.POLL_SECONDS", 0.01)
    reads, look = [], rules._file.refresh

    def breaks_once():
        reads.append(None)
        if len(reads) == 1:
            raise OSError("no such disk")
        look()

    monkeypatch.setattr(rules._file, "refresh", breaks_once)

    async def follow_an_edit():
        following = asyncio.create_task(rules.follow(lambda: None))
        await asyncio.sleep(0.1)
        path.write_text("[diversity]\nweight = 0.5\n")
        end = time.monotonic() + 10
        while rules._file.current == Rules() and time.monotonic() < end:
            await asyncio.sleep(0.01)
        following.cancel()

    asyncio.run(follow_an_edit())
    assert rules._file.current != Rules()
