"""The best few of many, without a sort."""

from __future__ import annotations

from recsys.kernels.compiled import compiled


@compiled
def best(scores, out):
    """The places of the best of scores [n], best first and the first of equals, into out [k] int64; how many.

    No NaN. For k much below n: few ever stand among the best so far.
    """
    count = 0
    if not len(out):
        return count
    for place in range(len(scores)):
        score = scores[place]
        if count == len(out) and not score > scores[out[count - 1]]:
            continue
        at = min(count, len(out) - 1)
        while at > 0 and scores[out[at - 1]] < score:
            out[at] = out[at - 1]
            at -= 1
        out[at] = place
        count = min(count + 1, len(out))
    return count
