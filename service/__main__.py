"""`python -m service serve` runs the deployment; `python -m service config` prints the settings in force."""

from __future__ import annotations

import argparse
import sys

from recsys.errors import TandemError
from recsys.installed import packages

with packages():
    from recsys.store.redis import address
    from service.settings import Settings, environment, settings


@packages()
def main() -> int:
    """Run the command; 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve what is live, until Ctrl-C")
    commands.add_parser("check", help="only check that it could serve")
    commands.add_parser("config", help="print the settings in force")
    command = parser.parse_args().command
    try:
        if command == "config":
            _print_config(settings())
            return 0
        from service.serve import check, serve

        if command == "check":
            check(settings(), environment())
            return 0
        return serve(settings(), environment(), lambda line: print(f"tandem: {line}", flush=True))
    except TandemError as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1


def _print_config(values: Settings) -> None:
    print(f"{'TANDEM_HOME':26} {environment().home!s:12} Where state lives.")
    store = address(environment().redis_url or "") if environment().redis_url else "embedded"
    print(f"{'REDIS_URL':26} {store:12} The store; a Valkey of our own where it is not set.")
    print(f"{'TANDEM_RULES':26} {environment().rules!s:12} The file of rules, where there is one (docs/rules.md).")
    for name, info in Settings.model_fields.items():
        variable = str(info.validation_alias or f"TANDEM_{name.upper()}")
        print(f"{variable:26} {getattr(values, name)!s:12} {info.description}")


if __name__ == "__main__":
    sys.exit(main())
