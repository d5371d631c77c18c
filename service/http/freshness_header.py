"""The response header `x-tandem-freshness`: how old that is what an answer was made from, for caches and logs."""

from __future__ import annotations

from pydantic import BaseModel

from recsys.slates.freshness import PARTS
from service import schema

HEADER = "x-tandem-freshness"


def freshness_header(answer: BaseModel) -> dict[str, str]:
    """The header as an RFC 8941 dictionary of seconds; of several slates the oldest of each part. {} without slates."""
    if isinstance(answer, schema.SlatesResponse):
        found = [slate.freshness for slate in answer.slates]
    elif isinstance(answer, schema.RecommendResponse | schema.RankResponse | schema.SimilarResponse):
        found = [answer.freshness]
    else:
        return {}
    ages = {part: [age for each in found if (age := getattr(each, part)) is not None] for part in PARTS}
    return {HEADER: ", ".join(f"{part}={max(values)}" for part, values in ages.items() if values)}
