"""The rules in force in a gateway, and the problems of the file of rules."""

import pytest

from recsys.rules import Rules, RulesFile

pytestmark = pytest.mark.anyio


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
