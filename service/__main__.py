"""`python -m service serve` runs the deployment; `config` prints its settings, `keys` makes and revokes keys."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict

from recsys.errors import TandemError
from recsys.process.interruption import interruptible_imports
from recsys.process.missing_packages import required_packages

with required_packages(), interruptible_imports():
    from service import configuration
    from service.auth import command as keys
    from service.settings import environment, settings


@required_packages()
def main() -> int:
    """Run the command; 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, does in (("serve", "serve what is live, until Ctrl-C"), ("check", "only check that it could serve")):
        roles = ("gateway", "retrieval", "ranking")
        commands.add_parser(name, help=does).add_argument("--role", choices=roles, help="one service of several hosts")
    config = commands.add_parser("config", help="print the settings in force")
    how = config.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="for programs")
    how.add_argument("--page", action="store_true", help="the defaults, as docs/configuration.md")
    keys.add_verbs(commands.add_parser("keys", help=keys.HELP))
    asked = parser.parse_args()
    try:
        if asked.command == "keys":
            keys.run(asked, settings().keys)
            return 0
        if asked.command == "config":
            return _config(asked)
        from service.serve import check, serve

        for slip in configuration.unknown(os.environ):
            print(f"tandem: {slip}", file=sys.stderr)
        configuration.require_sound(environment())
        if asked.command == "check":
            check(settings(), environment(), asked.role)
            return 0
        return serve(settings(), environment(), lambda line: print(f"tandem: {line}", flush=True), asked.role)
    except TandemError as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1


def _config(asked: argparse.Namespace) -> int:
    if asked.page:
        print(configuration.page(configuration.defaults()), end="")
        return 0
    found = configuration.lines(settings(), environment(), os.environ)
    print(json.dumps([asdict(line) for line in found], indent=2) if asked.json else configuration.table(found))
    for slip in configuration.unknown(os.environ):
        print(f"tandem: {slip}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
