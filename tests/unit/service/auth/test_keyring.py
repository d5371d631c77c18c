"""The file of keys, the record that a presented key finds, and the errors of `python -m service keys`."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.errors import SettingsError
from recsys.files.watched_file import MOST_BYTES
from service.auth import key, key_editor, keys_command
from service.auth.key_file import KeyFile
from service.auth.keyring import KeyRecord, parse

ROOT = Path(__file__).resolve().parents[4]
ONE = key.generate()
TABLE = f'[[key]]\nid = "{ONE.id}"\nname = "shop"\nsha256 = "{ONE.sha256}"\nscopes = ["read"]\n'


def table(**more):
    """One table, with a field left out (None) or with another value, as TOML writes it."""
    values = {"id": f'"{ONE.id}"', "name": '"shop"', "sha256": f'"{ONE.sha256}"', "scopes": '["read"]'} | more
    return "[[key]]\n" + "".join(f"{name} = {value}\n" for name, value in values.items() if value is not None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key = 3", "key is wrong; write tables"),
        ("[[keys]]", "there is no keys; known are key."),
        ("[[key", "not valid TOML"),
        ("a = " + "[" * 100_000, "nested too deep"),
        (TABLE + TABLE, " is there twice"),
        (table(id=None), "key.0.id is missing; write the 4 to 32"),
        (table(sha256=f'"{ONE.text}"'), "key.0.sha256 is wrong; write the 64 hexadecimal digits"),
        (table(scopes='["root"]'), "key.0.scopes.0 is wrong; write a list of read, write, admin"),
        (table(rate="0"), "key.0.rate is wrong"),
        (table(burst="3"), "burst is set without rate"),
        (table(users='"shop-1"'), "end it with a separator"),
        (table(expires="2027-01-01T00:00:00"), "key.0.expires is wrong; write a day"),
        (table(secret=f'"{ONE.text}"'), "there is no key.0.secret; known are id, name"),
        pytest.param(f"{ONE.text} = 1", "there is no field of a name that long; known are key.", id="a key"),
    ],
)
def test_the_error_of_a_wrong_file_names_the_field_and_repeats_no_value(text, message):
    """A key in the place of its hash is not printed or logged."""
    with pytest.raises(SettingsError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("keys.toml")
    assert ONE.text not in repr(caught.getrepr(style="long"))


def _broken(path):
    path.write_text(TABLE + "[[key")


def _too_large(path):
    path.write_bytes(b"#" * (MOST_BYTES + 1))


@pytest.mark.parametrize(
    "make",
    [None, _broken, _too_large, os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")],
    ids=["deleted", "broken", "too large", "pipe", "folder", "device"],
)
def test_a_wrong_file_keeps_the_keys_and_an_empty_one_revokes_them(tmp_path, caplog, make):
    """The reader does not block on a pipe."""
    path, wrong = tmp_path / "keys.toml", tmp_path / "wrong"
    path.write_text(TABLE)
    keys = KeyFile(path)
    path.unlink()
    if make:
        make(wrong)
        wrong.rename(path)
    keys.refresh()
    assert keys.current.find(ONE.text.encode())
    assert keys.fault
    assert "previous keys stay in force" in caplog.text
    wrong.write_text("")
    if path.is_dir():
        path.rmdir()
    wrong.rename(path)
    keys.refresh()
    assert "has no key: every request is refused" in caplog.text
    assert (keys.current.find(ONE.text.encode()), keys.fault) == (None, None)


def test_a_mounted_secret_is_followed(tmp_path):
    """Kubernetes moves a symbolic link to a folder; the file's own path does not change."""
    for name, text in (("one", TABLE), ("two", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys.toml").write_text(text)
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "keys.toml").symlink_to("data/keys.toml")
    keys = KeyFile(tmp_path / "keys.toml")
    assert len(keys.current.records) == 1
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "data")
    keys.refresh()
    assert keys.current.records == ()


def test_a_worker_that_starts_while_the_file_is_wrong_has_the_keys_before(tmp_path):
    """If none are stored the worker has no key. The start of a deployment is refused."""
    path, last = tmp_path / "keys.toml", tmp_path / "last"
    path.write_text("[[key")
    with pytest.raises(SettingsError, match=f"^{path} is not valid TOML"):
        KeyFile(path)
    assert KeyFile(path, last=last).current.records == ()
    path.write_text(TABLE)
    KeyFile(path, last=last)
    path.unlink()
    with pytest.raises(SettingsError, match="There is no file"):
        KeyFile(path)
    assert KeyFile(path, last=last).current.find(ONE.text.encode())
    assert last.stat().st_mode & 0o777 == 0o600


def record(name, **more):
    new = key.generate()
    values = {"id": new.id, "name": name, "sha256": new.sha256, "scopes": ["read", "write"]}
    return KeyRecord.model_validate(values | more)


def test_an_edit_keeps_comments_order_and_mode(tmp_path):
    """And the other keys."""
    path = tmp_path / "deep" / "keys.toml"
    first = record("a", users='q"\\ü:', expires="2027-01-01T12:00:00+02:00", rate=0.5)
    key_editor.add(path, first)
    assert path.stat().st_mode & 0o777 == 0o600
    text = "# ours\n" + path.read_text() + "\n# theirs\n" + TABLE + "# the end"
    path.write_text(text)
    path.chmod(0o640)
    last = record("b")
    key_editor.add(path, last)
    assert [each.name for each in parse(path.read_text())] == ["a", "shop", "b"]
    assert parse(path.read_text())[0] == first
    assert path.stat().st_mode & 0o777 == 0o640
    key_editor.revoke(path, "shop")
    assert parse(path.read_text()) == [first, last]
    assert path.read_text().startswith("# ours\n[[key]]")
    key_editor.revoke(path, "a")
    key_editor.revoke(path, "b")
    assert parse(path.read_text()) == []
    assert list(path.parent.iterdir()) == [path]


def test_the_id_selects_one_of_two_keys_of_a_name(tmp_path):
    """After a rotation the new key stays."""
    path = tmp_path / "keys.toml"
    old, new = record("a", created="2026-01-01"), record("a")
    key_editor.add(path, old)
    key_editor.add(path, new)
    with pytest.raises(SettingsError, match=f"{old.id} .made 2026-01-01"):
        key_editor.revoke(path, "a")
    for wrong in ("b", "A"):
        with pytest.raises(SettingsError, match=f"has no key {wrong}"):
            key_editor.revoke(path, wrong)
    assert key_editor.revoke(path, "a", old.id) == old
    assert parse(path.read_text()) == [new]


def test_a_file_that_a_program_cannot_edit_stays_as_it_is(tmp_path):
    """Such as another TOML syntax, or a table header inside a text."""
    inline = f'key = [{{ id = "{ONE.id}", name = "shop", sha256 = "{ONE.sha256}", scopes = ["read"] }}]\n'
    inside = TABLE.replace('"shop"', "'shop'").replace("[[key]]\n", '[[key]]\nusers = """\n[[key]]\n:"""\n')
    for text in (inline, inside):
        path = tmp_path / "keys.toml"
        path.write_text(text)
        with pytest.raises(SettingsError, match="by hand"):
            key_editor.revoke(path, "shop")
        assert path.read_text() == text


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
    assert parse(key_editor.read(path)) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "bad", "--scopes", "read,reed"), "--scopes takes read, write, admin, not reed"),
        (("add", "shop", "--expires", "2020-01-01"), "expires is in the past"),
        (("list",), "There is no file"),
        (("revoke", "shop"), "There is no file"),
    ],
)
def test_a_wrong_command_is_a_sentence_and_makes_no_file(tmp_path, arguments, message):
    """The error of a missing file equals the error of the server."""
    path = tmp_path / "keys.toml"
    with pytest.raises(SettingsError, match=message):
        keys_command.run(options(path, *arguments), "")
    assert not path.exists()
