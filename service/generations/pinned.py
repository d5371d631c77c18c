"""The generation that a bento pins: by explicit version, so that it serves the one it was built with, Redis or not."""

from __future__ import annotations

import json
from pathlib import Path

from bentoml.models import BentoModel

PIN = Path(__file__).resolve().parents[2] / "pinned.json"
"""Beside service/ in a bento that `make build` made; a checkout has none."""


def model() -> BentoModel | None:
    """The pinned model; None where nothing is pinned or the model is not in BentoML's store. Nothing is fetched."""
    found, _ = _read()
    return found


def folder() -> Path | None:
    """Where the pinned model lies; None where there is none."""
    stored = found.stored if (found := model()) else None
    return Path(stored.path) if stored else None


def fault() -> str | None:
    """Why the pin can't be used; None where it can be used, or where there is none."""
    _, why = _read()
    return why


def _read() -> tuple[BentoModel | None, str | None]:
    """The pinned model, and what is wrong with the pin."""
    try:
        found = BentoModel(str(json.loads(PIN.read_text(encoding="utf-8"))["model"]))
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError, KeyError, TypeError) as error:
        return None, f"{PIN} can't be read, so no generation is pinned: {error}"
    if found.stored is None:
        return None, (
            f"{PIN} pins the model {found.tag}, which is not in BentoML's model store, so no generation is pinned. "
            "The store, or what this host served before, has to have a generation; `make build` makes the bento anew."
        )
    return found, None
