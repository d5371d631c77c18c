"""The best few of many, without a sort."""

from __future__ import annotations

from recsys.kernels.compiled import compiled


@compiled
def best(scores, out):
    """The places of the best of scores [n], best first and the first of equals, into out [k] int64; how many.

    No NaN. For k much below n: few ever stand among the best so far.
    """
    count = 0
    for place in range(len(scores)):
        count = insert(scores, place, out, count)
    return count


@compiled
def insert(scores, place, out, count):
    """Put a place behind those that came before among the best `count` in out [k], if it is of the k best; how many."""
    score, last = scores[place], len(out) - 1
    if count > last and (last < 0 or not score > scores[out[last]]):
        return count
    at = min(count, last)
    while at > 0 and scores[out[at - 1]] < score:
        out[at] = out[at - 1]
        at -= 1
    out[at] = place
    return min(count + 1, last + 1)
