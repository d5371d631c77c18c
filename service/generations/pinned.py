"""The generation that a bento pins: `bentoml build --arg model=tandem:ID`, or a file of arguments by `--arg-file`.

The bento records the argument and the model, by its version. So the bento serves that generation without Redis.
"""

from __future__ import annotations

import bentoml
from bentoml.models import BentoModel
from pydantic import BaseModel


class Arguments(BaseModel):
    """The arguments of the bento. model: the tag of the pinned generation."""

    model: str | None = None


def model() -> BentoModel | None:
    """The pinned model; None if none is pinned."""
    tag = bentoml.use_arguments(Arguments).model
    return BentoModel(tag) if tag else None
