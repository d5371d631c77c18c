"""`python -m service keys add|list|revoke`."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from recsys.errors import SettingsError
from service.auth import key, key_editor
from service.auth.keyring import KeyRecord, first_fault, parse

DEFAULT = Path("keys.toml")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verbs and their options."""
    keys = commands.add_parser("keys", help="make, list and revoke API keys (docs/security.md)")
    verbs = keys.add_subparsers(dest="verb", required=True)
    make = verbs.add_parser("add", help="make a key, print it once, and keep its hash")
    make.add_argument("name", help="whom it is for; a second one of the same name replaces the first in peace")
    make.add_argument("--scopes", default="read", help="of read, write, admin, with commas between; default: read")
    make.add_argument("--rate", type=float, help="requests a second, on average; default: as many as there are")
    make.add_argument("--burst", type=int, help="requests at once; default: one second's")
    make.add_argument("--users", help="only for users whose ids begin so, such as shop-1:")
    make.add_argument("--expires", help="a day, by UTC, or a moment with its offset")
    verbs.add_parser("list", help="the keys, without what would give one away")
    gone = verbs.add_parser("revoke", help="refuse a key from now on")
    gone.add_argument("name")
    gone.add_argument("--id", help="which, where several have that name")
    for each in verbs.choices.values():
        each.add_argument("--file", type=Path, help="default: TANDEM_KEYS, or keys.toml here")


def run(options: argparse.Namespace, named: str) -> None:
    """Do what the command line says; named: TANDEM_KEYS. SettingsError where it can't be done."""
    path = options.file or (Path(named) if named not in {"", "none"} else DEFAULT)
    if options.verb == "add":
        _add(path, options)
    elif options.verb == "revoke":
        gone = key_editor.revoke(path, options.name, options.id)
        _say(f"{gone.name} ({gone.id}) is taken out of {path}; a running deployment refuses it within two seconds.")
    else:
        _list(path)


def _add(path: Path, options: argparse.Namespace) -> None:
    new = key.generate()
    wanted = {name: getattr(options, name) for name in ("name", "rate", "burst", "users", "expires")}
    wanted |= {"id": new.id, "sha256": new.sha256, "created": datetime.now(UTC).isoformat(timespec="seconds")}
    wanted["scopes"] = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]
    try:
        told = KeyRecord.model_validate({name: value for name, value in wanted.items() if value is not None})
    except ValidationError as error:
        raise SettingsError(f"keys add: {first_fault(error)}") from None
    if told.expires is not None and told.expires <= datetime.now(UTC):
        raise SettingsError("keys add: expires lies in the past; name a moment to come.")
    key_editor.add(path, told)
    try:
        print(new.text, flush=True)
    except OSError as error:
        key_editor.revoke(path, told.name, told.id)
        raise SettingsError(f"The key can't be printed ({error.strerror}), and is taken out again.") from error
    _say(f"That is the key, printed this once: {path} has its hash alone. Serve with TANDEM_KEYS={path}")


def _list(path: Path) -> None:
    if not path.exists():
        raise SettingsError(f"There is no file {path}.")
    told = parse(key_editor.read(path), path.name)
    for each in told:
        rate = f"{each.rate:g}/s, burst {each.allowed_burst}" if each.rate else "any rate"
        users = f"users {each.users}..." if each.users else "all users"
        end = "no end"
        if each.expires:
            end = f"{'expired' if each.expires <= datetime.now(UTC) else 'until'} {each.expires:%Y-%m-%d %H:%M %Z}"
        print(f"{each.name:20} {each.id:10} {','.join(each.scopes):16} {rate:24} {users:20} {end}")
    if not told:
        _say(f"{path} has no key.")


def _say(sentence: str) -> None:
    print(f"tandem: {sentence}", file=sys.stderr)
