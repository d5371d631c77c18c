"""All columns of features in two kernels: up to logarithms and orders, which are numpy's, and from there on.

Where no cache has it, Python's way from one kernel to the next costs a lone query as much as a column does.
"""

from __future__ import annotations

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple

from recsys.kernels import columns
from recsys.kernels.columns import Rows
from recsys.kernels.compiled import compiled
from recsys.kernels.tables import Table

_ROWS = len(Rows._fields)


@compiled
def rows_of(told):
    """`Rows` of so many numbers [R] int64: an array is given to a kernel in less time than a tuple is."""
    return Rows(*to_fixed_tuple(told, _ROWS))  # type: ignore[call-arg]  # the first is numba's own


@compiled(makes_arrays=True)
def begin(
    items,
    past,
    times,
    now,
    tower,
    sources,
    covisit_rows,
    covisit_weights,
    follow_rows,
    follow_weights,
    ease_rows,
    ease_weights,
    popularity,
    age,
    powers,
    ease_powers,
    scale,
    flags,
    steps,
    logs,
    told,
    logged,
    x,
    counts,
    order,
    to_log,
):
    """What is looked up and what is voted for, into x [B, F, K], 0 all over; how many of items are real, into counts.

    tower to age: as of `columns.derive` and `columns.votes`; a table of neighbours may have none. powers, of covisit
    and follow, and ease_powers: [D, R] float32, each decay to the steps. told: as of `rows_of`. order: as of
    `columns.derive`. logged: [L] int64, rows of x of which a logarithm is taken, which go into to_log [B, L, K].
    """
    rows, alike = rows_of(told), np.empty((len(items), 3), np.float32)
    columns.tell(items, past, times, now, steps, logs, counts, alike)
    voters = np.empty((len(items), min(past.shape[1], powers.shape[1])), np.int32)
    for query in range(len(items)):
        for step in range(voters.shape[1]):
            voters[query, step] = past[query, past.shape[1] - 1 - step]
    if covisit_rows.shape[1]:
        columns.votes(covisit_rows, covisit_weights, voters, powers, items, counts, x, rows.covisit)
    if follow_rows.shape[1]:
        columns.votes(follow_rows, follow_weights, voters, powers, items, counts, x, rows.follow)
    if ease_rows.shape[1]:
        columns.votes(ease_rows, ease_weights, voters, ease_powers, items, counts, x, rows.ease)
    columns.derive(x, rows, items, counts, tower, sources, flags, popularity, age, alike, scale, order)
    for query in range(len(items)):
        for at in range(len(logged)):
            to_log[query, at] = x[query, logged[at]]


@compiled(makes_arrays=True)
def finish(
    items,
    past,
    contexts,
    embeddings,
    content,
    late,
    new_embeddings,
    new_content,
    vocabulary,
    lifts,
    starts,
    within,
    alike,
    powers,
    hours,
    saturday,
    clock,
    logs,
    ranks,
    told,
    logged,
    x,
    counts,
    order,
    to_log,
):
    """What needs logarithms and sorted orders, and all that neither needs nor gives any.

    embeddings, content: of the catalogue, behind which the rows `late` stand with new_embeddings and new_content.
    lifts, starts: of `ContextLift`. within, alike: as of `columns.likeness`, the latter its steps. powers:
    as of `columns.repeats`. hours, saturday: as of `columns.groups`. The others as of `begin`, and of `columns.settle`.
    """
    rows = rows_of(told)
    for query in range(len(items)):
        for at in range(len(logged)):
            x[query, logged[at]] = to_log[query, at]
    columns.settle(x, rows, counts, order, ranks, logs)
    of = Table(embeddings, late, new_embeddings), Table(content, late, new_content)
    columns.likeness(of[0], past, within, items, alike, counts, x, rows.likeness)
    columns.affinity(of[1], vocabulary, past, items, counts, x, rows.affinity)
    columns.repeats(past, powers, items, counts, x, rows.repeats)
    places = np.empty((len(contexts), len(starts) - 1), np.int64)
    columns.groups(contexts, starts, hours, saturday, places)
    columns.lifts(lifts, places, clock, items, counts, x, rows.lifts)
