"""A store as the release before left it: `tests/released/store`, written by its code at the tag `before-the-cut`.

- `keys.json`: each key of a Redis with its type and value; a character is a byte. Its experiments were made by
  `recsys.experiments.changes` of that code. `shorter`, `shortest` and `resting` (paused) have parts of one layer,
  `shortest` and `held` a holdout, and `half` takes half of its own layer. `plain` has no layer. Callers name the arms
  of `named`. `over` has stopped. `planned` is a draft with a layer, and `sketch` is one without. Beside them are a
  generation, lists, impressions, events, a put item, a deleted user and the halt of an arm by a gateway.
- `arms.json`: the arms of 200 users, as `RunningExperiments.assign` of that code answered them: while `resting` is
  paused, and after another start of it.
- `keys.toml`: two API keys, from its `python -m service keys add`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "released" / "store"
KEYS = {
    "shop": "tdm_c1bff7cd_02160278017d8660b7b6f91f3f84e27c4098ed13586403f755f52afd31fefc5b",
    "operator": "tdm_31b4c9b1_7723c96e29b3174b07ce515ea563c64ba943e6adcb4e12fb317b9930e30e1ab7",
}
"""The API keys of `keys.toml`, by name."""

Arms = dict[str, dict[str, str]]
"""By user, the arm in each experiment that the user takes part in."""


def stored() -> dict[str, dict[str, Any]]:
    """The keys of the store: by key its type, and by that its value."""
    found: dict[str, dict[str, Any]] = json.loads((FOLDER / "keys.json").read_text(encoding="utf-8"))
    return found


def arms(moment: str) -> Arms:
    """The arms that the release before gave; moment: `running` or `started_again`."""
    found: dict[str, Arms] = json.loads((FOLDER / "arms.json").read_text(encoding="utf-8"))
    return found[moment]


def load(client: Any) -> None:
    """Write the keys into an empty Redis."""
    for key, typed in stored().items():
        for kind, value in typed.items():
            _WRITES[kind](client, _bytes(key), value)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _mapping(value: dict[str, str]) -> dict[bytes, bytes]:
    return {_bytes(name): _bytes(each) for name, each in value.items()}


def _add_entries(client: Any, key: bytes, value: dict[str, dict[str, str]]) -> None:
    for entry, fields in value.items():
        client.xadd(key, _mapping(fields), id=entry)


_WRITES: dict[str, Any] = {
    "string": lambda client, key, value: client.set(key, _bytes(value)),
    "list": lambda client, key, value: client.rpush(key, *map(_bytes, value)),
    "set": lambda client, key, value: client.sadd(key, *map(_bytes, value)),
    "zset": lambda client, key, value: client.zadd(key, {_bytes(name): score for name, score in value.items()}),
    "hash": lambda client, key, value: client.hset(key, mapping=_mapping(value)),
    "stream": _add_entries,
}
