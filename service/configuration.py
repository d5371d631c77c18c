"""The configuration as `python -m service config` prints it: each setting's variable, value, source and description.

No password is printed. The module also writes docs/configuration.md, and names misspelt variables.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from recsys.environment import Environment
from recsys.promises import SLO_FILE
from recsys.store.redis.store_address import address
from service.settings import Settings, variable

PREFIX = "TANDEM_"

COLUMNS = 120
"""Width of the table, at most."""

NEAR = 0.8
"""Least similarity of an unknown name and a setting for a suggestion; 1 is equal."""

REMOVED = {
    "TANDEM_RETRIEVAL_SHARD": "each host of retrieval holds all items, and needs the memory for them. Unset it, "
    "and set TANDEM_RETRIEVAL_URL to one address; a name may stand for several hosts.",
}
"""What to do in place of a setting of the release before."""

FROM_SLO = ("deadline_ms",)
"""Settings whose default is in slo.toml."""


@dataclass(frozen=True, slots=True)
class Line:
    """A setting: its variable, its value as text, the source of the value, and a description."""

    variable: str
    value: str
    source: str
    description: str


def lines(settings: Settings, environment: Environment, variables: Mapping[str, str]) -> list[Line]:
    """All settings; variables: of the process. SettingsError if one that is no field of Settings is wrong."""
    require_sound(environment)
    store = address(environment.redis_url) if environment.redis_url else "embedded"
    shared = {
        "TANDEM_HOME": (environment.home, "Folder of the store, caches, runs and generations."),
        "REDIS_URL": (store, "URL of Redis or of its Sentinels; not set: an embedded Valkey, in TANDEM_HOME."),
        "REDIS_URL_FILE": (
            variables.get("REDIS_URL_FILE"),
            "File that holds that URL, for secrets that are mounted as files.",
        ),
        "TANDEM_REDIS_BUDGET": (environment.budget, "Memory of all generations in the store, at most, such as 500MB."),
        "TANDEM_RULES": (environment.rules, "File of rules, which need not exist (docs/rules.md)."),
        "TANDEM_SURFACES": (environment.surfaces, "File of surfaces, which need not exist (docs/surfaces.md)."),
        "TANDEM_EXPORTS": (
            _shown(environment.exports),
            "Folder or URL for lists, impressions and events; not set: TANDEM_HOME.",
        ),
        "TANDEM_COLLECTED_DAYS": (environment.collected_days, "Days of impressions and events that flows drain keeps."),
        "TANDEM_DASK": (environment.dask, "Dask workers of flows on this machine, or a scheduler as tcp://host:8786."),
        "TANDEM_DASK_MEMORY": (environment.dask_memory, "Memory of each of those workers of this machine, as 3GiB."),
    }
    fields = Settings.model_fields.items()
    own = {variable(name): (getattr(settings, name), info.description or "") for name, info in fields}
    slo = {variable(name) for name in FROM_SLO}

    def source(name: str) -> str:
        if name == "REDIS_URL" and not variables.get(name) and variables.get("REDIS_URL_FILE"):
            return "REDIS_URL_FILE"
        return "environment" if variables.get(name) else SLO_FILE.name if name in slo else "default"

    return [Line(name, _text(value), source(name), text) for name, (value, text) in (shared | own).items()]


def _shown(location: str) -> str:
    """A path as it is; a URL without credentials, which flows refuse in a URL."""
    scheme, sign, rest = location.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}" if sign else location


def require_sound(environment: Environment) -> None:
    """SettingsError if the URL or the budget of the store is invalid. Other code reads both only when it needs them."""
    if environment.redis_url:
        address(environment.redis_url)
    _ = environment.redis_budget


def defaults() -> list[Line]:
    """The settings of an empty environment."""
    return lines(Settings.model_construct(), Environment(Path(".tandem"), None), {})


def table(found: Iterable[Line]) -> str:
    """The settings as a table for a terminal."""
    rows = [[each.variable, each.value, each.source] for each in found]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    start = sum(widths) + 6
    printed = []
    for row, each in zip(rows, found, strict=True):
        first, *rest = textwrap.wrap(each.description, max(COLUMNS - start, 40)) or [""]
        printed.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "  " + first)
        printed += [" " * start + more for more in rest]
    return "\n".join(printed)


def page(found: Iterable[Line]) -> str:
    """The settings as Markdown: docs/configuration.md."""
    rows = "\n".join(f"| `{each.variable}` | {each.value} | {each.description} |" for each in found)
    return _PAGE.format(rows=rows)


def unknown(variables: Iterable[str]) -> Iterator[str]:
    """A sentence for each TANDEM_ variable that is no setting: a misspelt or removed variable has no effect."""
    known = [line.variable for line in defaults()]
    for name in sorted(variables):
        if name in REMOVED:
            yield f"{name} is no setting any more: {REMOVED[name]}"
        elif name.startswith(PREFIX) and name not in known:
            bare = name.removeprefix(PREFIX)
            near = [bare] if bare in known else difflib.get_close_matches(name, known, 1, cutoff=NEAR)
            yield f"{name} is no setting" + (f"; did you mean {near[0]}?" if near else ".")


def _text(value: object) -> str:
    return "not set" if value is None else str(value) or "not set"


_PAGE = """# Settings

Every setting is a variable of the environment, read once, when a process starts (`service/settings.py`). A wrong value
stops the start with one sentence. A warning names each `TANDEM_` variable that is no setting.
`python -m service config` prints the settings in force and where each value comes from, without passwords (`--json`:
for programs), and with `--page` this page.

| variable | default | |
|---|---|---|
{rows}
"""
