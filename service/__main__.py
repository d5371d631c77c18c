"""`python -m service serve` runs the deployment; `config` prints its settings, `keys` makes and revokes keys."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from typing import NoReturn

from recsys.errors import TandemError
from recsys.process.command_exit import interruptible_imports, required_packages

with required_packages(), interruptible_imports():
    from service import configuration
    from service.auth import keys_command
    from service.settings import environment, settings


class _Parser(argparse.ArgumentParser):
    """A parser, and each subcommand's, that refuses wrong arguments with one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"tandem: {message}; {self.prog} --help lists what it takes.\n")


@required_packages()
def main() -> int:
    """Run the command; 0, or 1 with one sentence on stderr."""
    parser = _Parser(prog="python -m service", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    texts = {"serve": "serve the live generation, until Ctrl-C", "check": "check that the deployment could serve"}
    for name, text in texts.items():
        roles = ("gateway", "retrieval", "ranking")
        commands.add_parser(name, help=text).add_argument("--role", choices=roles, help="one service of several hosts")
    config = commands.add_parser("config", help="print the settings in force")
    form = config.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs")
    form.add_argument("--page", action="store_true", help="the defaults, as docs/configuration.md")
    keys_command.add_verbs(commands.add_parser("keys", help=keys_command.HELP))
    options = parser.parse_args()
    try:
        if options.command == "keys":
            keys_command.run(options, settings().keys)
            return 0
        if options.command == "config":
            return _config(options)
        from service.serve import check, serve

        _warn_of_unknown_variables()
        configuration.require_sound(environment())
        if options.command == "check":
            check(settings(), environment(), options.role)
            return 0
        return serve(settings(), environment(), lambda line: print(f"tandem: {line}", flush=True), options.role)
    except TandemError as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1


def _config(options: argparse.Namespace) -> int:
    if options.page:
        print(configuration.page(configuration.defaults()), end="")
        return 0
    found = configuration.lines(settings(), environment(), os.environ)
    print(json.dumps([asdict(line) for line in found], indent=2) if options.json else configuration.table(found))
    _warn_of_unknown_variables()
    return 0


def _warn_of_unknown_variables() -> None:
    for sentence in configuration.unknown(os.environ):
        print(f"tandem: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
