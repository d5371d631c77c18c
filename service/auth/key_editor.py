"""Changes of the file of keys: what a person wrote there stays, and a reader sees the old file or the new one."""

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
from tempfile import mkstemp

from recsys.errors import SettingsError
from recsys.followed import bytes_of
from service.auth.keyring import KeyRecord, parse

_HEAD = re.compile(r"^[ \t]*\[\[[ \t]*key[ \t]*\]\]", re.MULTILINE)


def add(path: Path, told: KeyRecord) -> None:
    """Append a key; SettingsError where the file is wrong, or would be."""
    with _alone(path):
        text = read(path)
        text += "\n" * bool(text and not text.endswith("\n")) + "\n" * bool(text) + _block(told)
        parse(text, path.name)
        _replace(path, text)


def revoke(path: Path, name: str, key_id: str | None = None) -> KeyRecord:
    """Take a key out; SettingsError where none has that name, or several and no id says which."""
    with _alone(path):
        text = read(path)
        told = parse(text, path.name)
        found = [each for each in told if each.name == name and key_id in {None, each.id}]
        if not path.exists():
            raise SettingsError(f"There is no file {path}.")
        if not found:
            raise SettingsError(f"{path} has no key {name}{f' with the id {key_id}' if key_id else ''}.")
        if len(found) > 1:
            ids = ", ".join(map(_named, found))
            raise SettingsError(f"{len(found)} keys are called {name}: {ids}. Say which: --id ID")
        left = _without(text, told.index(found[0]))
        with suppress(SettingsError):
            if parse(left) == [each for each in told if each is not found[0]]:
                _replace(path, left)
                return found[0]
        raise SettingsError(f"{path} is written in a way that only a person can edit: take {found[0].id} out by hand.")


def read(path: Path) -> str:
    """The text of the file, "" where there is none yet."""
    try:
        return bytes_of(path).decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be read: {getattr(error, 'strerror', error)}.") from error


def _block(told: KeyRecord) -> str:
    values = told.model_dump(mode="json", exclude_none=True)
    for name in ("expires", "created"):  # TOML has moments, and JSON has none
        if name in values:
            values[name] = getattr(told, name)
    lines = (f"{name} = {_as_toml(value)}" for name, value in values.items())
    return "\n".join(["[[key]]", *lines, ""])


def _as_toml(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value, ensure_ascii=False)


def _named(told: KeyRecord) -> str:
    return f"{told.id} (made {told.created:%Y-%m-%d %H:%M:%S})" if told.created else told.id


def _without(text: str, index: int) -> str:
    heads = [found.start() for found in _HEAD.finditer(text)]
    if index >= len(heads):
        return text
    end = heads[index + 1] if index + 1 < len(heads) else len(text)
    return text[: heads[index]].rstrip("\n") + "\n" * bool(heads[index]) + "\n" * (end < len(text)) + text[end:]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two who edit at once do it one after the other."""
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
    """Write it beside the file, then in its place: mode 0600, or whose and what mode the file is."""
    path = path.resolve()  # a link stays one
    try:
        handle, scratch = mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                with suppress(FileNotFoundError, PermissionError):
                    state = path.stat()
                    os.fchmod(handle, stat.S_IMODE(state.st_mode))
                    os.fchown(handle, state.st_uid, state.st_gid)
                file.write(text)
                file.flush()
                os.fsync(handle)
            Path(scratch).replace(path)
        except BaseException:
            Path(scratch).unlink()
            raise
    except OSError as error:
        raise SettingsError(f"{path} can't be written ({error.strerror}).") from error
