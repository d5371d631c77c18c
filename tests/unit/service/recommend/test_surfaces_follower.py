"""The surfaces in force in a gateway: their file, its files of rules, and the settings where the file says nothing."""

import pytest

from recsys.environment import Environment
from recsys.errors import SurfacesError
from service.settings import Settings
from service.verbs.surfaces import SurfacesFile, SurfacesFollower

HOME = '[home]\nmode = "batch"\nk = 3\ndeadline_ms = 40\nlist_fresh = "15min"\nlog_impressions = false\n'
PIN = '[[pin]]\nitem = "drama-1"\nplace = 1\n'


@pytest.fixture
def follow(tmp_path):
    """Start a gateway over files with these texts; None for no file."""

    def started(surfaces=None, **rules):
        for name, text in rules.items():
            (tmp_path / f"{name}.toml").write_text(text)
        if surfaces is not None:
            (tmp_path / "surfaces.toml").write_text(surfaces)
        files = {"rules": tmp_path / "rules.toml", "surfaces": tmp_path / "surfaces.toml"}
        return SurfacesFollower(Environment(tmp_path / "home", None, **files), Settings(deadline_ms=400))

    return started


def edit(follower, path, text):
    """Write a file, and let the gateway check its files."""
    path.write_text(text)
    follower._refresh()


def pinned(surface):
    return bool(surface.rules._file.current.pin)


def test_a_wrong_edit_is_a_sentence_and_the_last_surfaces_stay(follow, tmp_path, caplog):
    """Also in a gateway that starts meanwhile. The next right edit is in force."""
    follower, path = follow(HOME), tmp_path / "surfaces.toml"
    edit(follower, path, "[home]\nk = 0\n")
    assert follower.of("home").k == 3
    [problem] = follower.problems()
    assert problem.startswith("surfaces.toml: home.k is ")
    assert any(problem in record.getMessage() for record in caplog.records)
    started = follow()
    assert (started.of("home").k, started.problems()) == (3, [problem])
    edit(follower, path, "[home]\nk = 4\n[feed]\n")
    assert (follower.of("home").k, follower.names, follower.problems()) == (4, ["default", "home", "feed"], [])
    path.write_text("[home]\nk = 0\n")
    with pytest.raises(SurfacesError, match=r"home\.k"):
        SurfacesFile(path)
    path.unlink()
    follower._refresh()
    assert follower.names == ["default"]
    with pytest.raises(SurfacesError, match="TANDEM_SURFACES"):
        SurfacesFile(path, named=True)


class TestRules:
    """A surface may have a file of rules of its own."""

    def test_each_file_of_rules_is_read_once_and_again_when_it_changes(self, follow, tmp_path):
        """Surfaces without a file share the common rules."""
        follower = follow('[a]\nrules = "own.toml"\n[b]\nrules = "own.toml"\n[c]\n', rules="", own=PIN)
        a, b, c = map(follower.of, "abc")
        assert a.rules is b.rules
        assert c.rules is follower.of("default").rules
        assert pinned(a)
        assert not pinned(c)
        edit(follower, tmp_path / "rules.toml", PIN)
        edit(follower, tmp_path / "own.toml", "[[cap]]\ncolumn = 3\n")
        assert pinned(a)
        assert pinned(c)
        [problem] = follower.rules_problems(None)
        assert problem.startswith("own.toml: cap.0.column is 3")
        edit(follower, tmp_path / "surfaces.toml", "[c]\n")
        assert follower.rules_problems(None) == []

    def test_an_edit_that_names_a_missing_or_wrong_file_of_rules_is_wrong(self, follow, tmp_path):
        """It is in force as soon as the file of rules is right."""
        follower = follow("[home]\n", rules="")
        own, edited = tmp_path / "own.toml", '[home]\nk = 5\nrules = "own.toml"\n'
        edit(follower, tmp_path / "surfaces.toml", edited)
        assert follower.of("home").k == 10
        [problem] = follower.problems()
        assert problem == f"surfaces.toml: home.rules names {own}, and there is no such file."
        edit(follower, own, "[[cap]]\ncolumn = 3\n")
        [problem] = follower.problems()
        assert problem.startswith("surfaces.toml: home.rules names a wrong file. own.toml: cap.0.column is 3")
        edit(follower, own, PIN)
        assert follower.problems() == []
        assert follower.of("home").k == 5
        assert pinned(follower.of("home"))
