"""Atomic writes of files."""

import pytest

from recsys.files.atomic_write import atomic_write


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """The old content stays until the block ends, and a failed block leaves no other file."""
    path = tmp_path / "file.txt"
    with atomic_write(path, mode=0o600, durable=True) as draft:
        draft.write_text("old")
        assert not path.exists()
    assert path.stat().st_mode & 0o777 == 0o600

    def fail():
        with atomic_write(path) as draft:
            draft.write_text("new")
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
