"""The generation that a bento pins: by explicit version, so that it serves the one it was built with, Redis or not."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from bentoml.models import BentoModel

logger = logging.getLogger("tandem")

PIN = Path(__file__).resolve().parent.parent / "pinned.json"
"""Beside service/, in a bento as in a checkout; `python -m flows pin` writes it."""


def model() -> BentoModel | None:
    """The pinned model, None where nothing is pinned."""
    try:
        return BentoModel(str(json.loads(PIN.read_text(encoding="utf-8"))["model"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.error("%s can't be read, so no generation is pinned: %s", PIN, error)
        return None


def folder() -> Path | None:
    """Where the pinned model lies, None where nothing is pinned or it is not here; nothing is fetched."""
    pinned = model()
    stored = pinned.stored if pinned else None
    return Path(stored.path) if stored else None
