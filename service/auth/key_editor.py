"""Edits of the TOML file of API keys, for `python -m service keys`: add a key, and remove a revoked one.

Comments and order stay, and a concurrent reader sees the old file or the new one.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from recsys.errors import SettingsError
from recsys.files.atomic_write import atomic_write
from recsys.files.watched_file import read_regular_file
from service.auth.keyring import KeyRecord, parse

_HEAD = re.compile(r"^[ \t]*\[\[[ \t]*key[ \t]*\]\]", re.MULTILINE)


def add(path: Path, record: KeyRecord) -> None:
    """Append a key; SettingsError if the file is wrong, or would become wrong."""
    with _locked(path):
        text = read(path)
        text += "\n" * bool(text and not text.endswith("\n")) + "\n" * bool(text) + _table(record)
        parse(text, str(path))
        _replace(path, text)


def revoke(path: Path, name: str, key_id: str | None = None) -> KeyRecord:
    """Remove a key; SettingsError if no key has the name, or several have it and no id is given."""
    with _locked(path):
        text = read(path)
        records = parse(text, str(path))
        found = [each for each in records if each.name == name and key_id in {None, each.id}]
        if not path.exists():
            raise SettingsError(f"There is no file {path}.")
        if not found:
            raise SettingsError(f"{path} has no key {name}{f' with the id {key_id}' if key_id else ''}.")
        if len(found) > 1:
            ids = ", ".join(map(_described, found))
            raise SettingsError(f"{len(found)} keys have the name {name}: {ids}. Choose one: --id ID")
        left = _without(text, records.index(found[0]))
        with suppress(SettingsError):
            if parse(left) == [each for each in records if each is not found[0]]:
                _replace(path, left)
                return found[0]
        raise SettingsError(f"{path} has a layout that this command can't edit: remove {found[0].id} by hand.")


def read(path: Path) -> str:
    """The text of the file; "" if there is no file yet."""
    try:
        return read_regular_file(path).decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be read: {getattr(error, 'strerror', error)}.") from error


def _table(record: KeyRecord) -> str:
    values = record.model_dump(mode="json", exclude_none=True)
    for name in ("expires", "created"):  # TOML has a type for times, and JSON has none
        if name in values:
            values[name] = getattr(record, name)
    lines = (f"{name} = {_as_toml(value)}" for name, value in values.items())
    return "\n".join(["[[key]]", *lines, ""])


def _as_toml(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value, ensure_ascii=False)


def _described(record: KeyRecord) -> str:
    return f"{record.id} (made {record.created:%Y-%m-%d %H:%M:%S})" if record.created else record.id


def _without(text: str, index: int) -> str:
    heads = [found.start() for found in _HEAD.finditer(text)]
    if index >= len(heads):
        return text
    end = heads[index + 1] if index + 1 < len(heads) else len(text)
    return text[: heads[index]].rstrip("\n") + "\n" * bool(heads[index]) + "\n" * (end < len(text)) + text[end:]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock on the folder, so that concurrent edits run one after the other."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise SettingsError(f"{path.parent} can't be opened ({error.strerror}).") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _replace(path: Path, text: str) -> None:
    """Write a temporary file and move it into place; a new file has mode 0600, an old one keeps its mode and owner."""
    path = path.resolve()  # a symbolic link stays one
    try:
        with atomic_write(path, mode=0o600, durable=True) as draft:
            with suppress(FileNotFoundError, PermissionError):
                state = path.stat()
                draft.chmod(stat.S_IMODE(state.st_mode))
                os.chown(draft, state.st_uid, state.st_gid)
            draft.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path} can't be written ({error.strerror}).") from error
