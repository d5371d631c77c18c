"""`python -m service keys` with wrong options, a wrong file, or an output that can't be written."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.errors import SettingsError
from service.auth import keys_command
from service.auth.key_editor import read
from service.auth.keyring import parse

ROOT = Path(__file__).resolve().parents[4]


def options(path, *arguments):
    parser = argparse.ArgumentParser()
    keys_command.add_verbs(parser.add_subparsers().add_parser("keys"))
    return parser.parse_args(["keys", *arguments, "--file", str(path)])


def test_a_key_that_cannot_be_printed_is_removed(tmp_path):
    """Nobody would have the key."""
    path = tmp_path / "keys.toml"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "service", "keys", "add", "shop", "--file", str(path)],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "can't be printed (No space left on device)" in done.stderr
    assert parse(read(path)) == []


def test_a_key_that_has_expired_is_not_made(tmp_path):
    """An expiry in the past is a typing error."""
    path = tmp_path / "keys.toml"
    with pytest.raises(SettingsError, match="expires is in the past"):
        keys_command.run(options(path, "add", "shop", "--expires", "2020-01-01"), "")
    assert not path.exists()


@pytest.mark.parametrize("arguments", [("list",), ("revoke", "shop")])
def test_a_missing_file_is_an_error(tmp_path, arguments):
    """The error of the command equals the error of the server."""
    with pytest.raises(SettingsError, match="There is no file"):
        keys_command.run(options(tmp_path / "keys.toml", *arguments), "")
