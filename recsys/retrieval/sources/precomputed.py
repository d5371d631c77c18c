"""The candidate source `precomputed`: the list of items that a batch job made for the user before the request.

The source has no finder: the gateway, the server that takes requests, reads the list from Redis and adds its items.
"""

from __future__ import annotations

from recsys.retrieval.source import CandidateSource
from recsys.types import Source

SOURCE = CandidateSource("precomputed", Source.PRECOMPUTED, 0)
