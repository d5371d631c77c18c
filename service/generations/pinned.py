"""The pinned generation (trained models and tables): packed into a bento, which then serves it without Redis.

A bento is BentoML's package. `bentoml build --arg model=tandem:ID` pins the generation, or a file of arguments by
`--arg-file`. The bento records the argument and the model, by its version.
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
