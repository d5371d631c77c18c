"""The command `python -m service keys add|list|revoke`, with which an operator makes, lists and revokes API keys."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from recsys.errors import SettingsError
from service.auth import key, key_editor
from service.auth.keyring import KeyRecord, first_fault, parse
from service.schema.verb_table import Scope

DEFAULT = Path("keys.toml")


HELP = "make, list and revoke API keys (docs/security.md)"


def add_verbs(keys: argparse.ArgumentParser) -> None:
    """Add the subcommands add, list and revoke, with their options, to the parser."""
    verbs = keys.add_subparsers(dest="verb", required=True)
    make = verbs.add_parser("add", help="make a key, print it once, and keep its hash")
    make.add_argument("name", help="its owner; two keys may have one name while one replaces the other")
    make.add_argument("--scopes", default="read", help="any of read, write, admin, separated by commas; default: read")
    make.add_argument("--rate", type=float, help="requests a second, on average; default: no limit")
    make.add_argument("--burst", type=int, help="requests at once; default: as many as in one second")
    make.add_argument("--users", help="only for users whose ids have this prefix, such as shop-1:")
    make.add_argument("--expires", help="a day in UTC, or a time with its offset")
    verbs.add_parser("list", help="list the keys, without their secrets and hashes")
    revoke = verbs.add_parser("revoke", help="remove a key")
    revoke.add_argument("name")
    revoke.add_argument("--id", help="the key's id, where several have the name")
    for each in verbs.choices.values():
        each.add_argument("--file", type=Path, help="default: TANDEM_KEYS, or keys.toml here")


def run(options: argparse.Namespace, keys: str) -> None:
    """Run the subcommand; keys: the value of TANDEM_KEYS. SettingsError if it can't be done."""
    path = options.file or (Path(keys) if keys not in {"", "none"} else DEFAULT)
    if options.verb == "add":
        _add(path, options)
    elif options.verb == "revoke":
        revoked = key_editor.revoke(path, options.name, options.id)
        _note(f"{revoked.name} ({revoked.id}) is removed from {path}; a deployment refuses it within two seconds.")
    else:
        _list(path)


def _add(path: Path, options: argparse.Namespace) -> None:
    new = key.generate()
    values = {name: getattr(options, name) for name in ("name", "rate", "burst", "users", "expires")}
    values |= {"id": new.id, "sha256": new.sha256, "created": datetime.now(UTC).isoformat(timespec="seconds")}
    values["scopes"] = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]
    known = [scope.value for scope in Scope]
    if wrong := next((scope for scope in values["scopes"] if scope not in known), None):
        raise SettingsError(f"keys add: --scopes takes {', '.join(known)}, not {key.redacted(wrong)[:40]}.")
    try:
        record = KeyRecord.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise SettingsError(f"keys add: {first_fault(error)}") from None
    if record.expires is not None and record.expires <= datetime.now(UTC):
        raise SettingsError("keys add: expires is in the past; write a future time.")
    key_editor.add(path, record)
    try:
        print(new.text, flush=True)
    except OSError as error:
        key_editor.revoke(path, record.name, record.id)
        raise SettingsError(f"The key can't be printed ({error.strerror}) and was removed again.") from error
    _note(f"This is the only time that the key is printed; {path} has its hash. Serve with TANDEM_KEYS={path}")


def _list(path: Path) -> None:
    if not path.exists():
        raise SettingsError(f"There is no file {path}.")
    records = parse(key_editor.read(path), str(path))
    for each in records:
        rate = f"{each.rate:g}/s, burst {each.allowed_burst}" if each.rate else "any rate"
        users = f"users {each.users}..." if each.users else "all users"
        end = "no end"
        if each.expires:
            end = f"{'expired' if each.expires <= datetime.now(UTC) else 'until'} {each.expires:%Y-%m-%d %H:%M %Z}"
        print(f"{each.name:20} {each.id:10} {','.join(each.scopes):16} {rate:24} {users:20} {end}")
    if not records:
        _note(f"{path} has no key.")


def _note(sentence: str) -> None:
    print(f"tandem: {sentence}", file=sys.stderr)
