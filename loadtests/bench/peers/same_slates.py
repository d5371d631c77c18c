"""Check that two servers return the same slates, which are lists of recommended items, before a benchmark of both."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import numpy as np

from loadtests.bench.peers.servers import PeerError, Running

K = 20

CLOSE = 2e-3
"""The largest difference of two equal scores. An item this close to the last item may be missing in one slate."""

Slates = list[list[tuple[object, float]]]


def slates(peer: Running, users: Sequence[str]) -> Slates:
    """The slates of a peer: ids and scores."""
    found = []
    with httpx.Client(base_url=peer.url, timeout=30) as client:
        for user in users:
            answer = client.post("/recommend", json={"user_id": user, "k": K})
            answer.raise_for_status()
            body = answer.json()
            items = [(item["item_id"], item["score"]) for item in body["items"]]
            found.append(_whole(peer, items, body["degraded"]))
    return found


def _whole(peer: Running, items: list[tuple[object, float]], degraded: Sequence[str]) -> list[tuple[object, float]]:
    if degraded:
        raise PeerError(f"{peer.url} answers without {', '.join(degraded)}.")
    return items


def compare(expected: Slates, found: Slates, name: str) -> None:
    """Raise PeerError if the slates of two peers differ."""
    for ours, theirs in zip(expected, found, strict=True):
        if len(ours) != K or len(theirs) != K:
            raise PeerError(
                f"{name} gave {len(theirs)} items, the first peer {len(ours)}, and the request was for {K}."
            )
        if not np.allclose([score for _, score in theirs], [score for _, score in ours], rtol=0, atol=CLOSE):
            raise PeerError(f"{name} gives other scores than the first peer: {theirs} and {ours}.")
        sure = {item for item, score in ours if score > ours[-1][1] + CLOSE}
        if not sure <= {item for item, _ in theirs}:
            raise PeerError(f"{name} gives other items than the first peer: {theirs} and {ours}.")
