"""Conditions on columns of the items, against a plain evaluation of the items."""

import math
from dataclasses import fields

import numpy as np
import pytest
from pydantic import TypeAdapter

from recsys.filters.allowed_items import POPULAR, AllowedItems
from recsys.filters.compiled_conditions import ConditionError, match, matches, packed
from recsys.filters.conditions import Condition, Range
from recsys.fresh_items.extended_index import ExtendedIndex
from recsys.fresh_items.extended_tables import TableExtender
from recsys.model.feature_spec import FeatureSpec
from recsys.retrieval.index import ExactIndex
from recsys.types import PAD
from tests.sample_data.put_items import item, putting
from tests.unit.model.test_features import tables_of

CATEGORIES, BRANDS = [f"c{number}" for number in range(9)], [f"b{number}" for number in range(40)]
PUT_BRANDS = [f"p{number}" for number in range(5)]
"""Brands that only put items have."""

SPEC = FeatureSpec(
    tokens=("", *(f"categories={name}" for name in CATEGORIES), *(f"brand={name}" for name in BRANDS)),
    edges={"price": (10.0, 20.0), "stock": ()},
    event_types=("click",),
    columns=("categories", "brand", "price", "stock", "on_sale"),
    numbers=("price", "stock", "on_sale"),
    booleans=("on_sale",),
)
filters = TypeAdapter(dict[str, Condition]).validate_python


def an_item(rng):
    """An item as a table has it; any column may be missing."""
    told = {
        "categories": [str(name) for name in rng.choice(CATEGORIES, rng.integers(0, 4), replace=False)],
        "brand": str(rng.choice(BRANDS)),
        "price": round(float(rng.gamma(2, 10)), int(rng.integers(0, 3))),
        "stock": int(rng.integers(-2, 30)),
        "on_sale": bool(rng.random() < 0.2),
    }
    return {column: value for column, value in told.items() if rng.random() > 0.1}


def a_condition(rng, column):
    """A random condition on a column, as in JSON; bounds are often the value of an item."""
    if column == "on_sale":
        return bool(rng.random() < 0.5)
    if column in ("categories", "brand"):
        names = CATEGORIES if column == "categories" else BRANDS + PUT_BRANDS
        return [str(name) for name in rng.choice(names, rng.integers(1, 5), replace=False)]
    drawn = an_item(rng).get(column, 7)
    if rng.random() < 0.2:
        return [drawn, *(int(number) for number in rng.integers(0, 30, rng.integers(0, 4)))]
    low, high = sorted((drawn, an_item(rng).get(column, 11)))
    kind = rng.integers(0, 4)
    if kind == 0:
        return {str(rng.choice(["lt", "lte"])): high}
    if kind == 1:
        return {str(rng.choice(["gt", "gte"])): high * int(rng.integers(1, 4))}
    return {"gte": low, "lte": high} if low == high else {str(rng.choice(["gt", "gte"])): low, "lt": high}


def a_filter(rng):
    columns = rng.choice(SPEC.columns, rng.integers(1, 4), replace=False)
    return {str(column): a_condition(rng, str(column)) for column in columns}


def passes(content, conditions):
    """Whether an item meets every condition."""
    return all(column in content and _meets(content[column], each) for column, each in conditions.items())


def _meets(value, condition):
    if isinstance(condition, bool):
        return value is condition
    if isinstance(condition, list):
        return any(each in condition for each in (value if isinstance(value, list) else [value]))
    bounds = {"lt": value < math.inf, "lte": True, "gt": True, "gte": True}
    bounds |= {name: _within(name, value, bound) for name, bound in condition.items()}
    return all(bounds.values())


def _within(name, value, bound):
    return {"lt": value < bound, "lte": value <= bound, "gt": value > bound, "gte": value >= bound}[name]


@pytest.fixture(scope="module")
def shop():
    """3,000 items, and 60 put since; embeddings of which every inner product is exact, so that ties are ties."""
    rng = np.random.default_rng(7)
    n = 3_000
    told, put = [an_item(rng) for _ in range(n)], [an_item(rng) for _ in range(60)]
    put = [each | {"brand": PUT_BRANDS[at % 5]} if at % 2 else each for at, each in enumerate(put)]
    made = tables_of(n, rng)
    embeddings = rng.integers(-8, 9, (n + len(put), 16)).astype(np.float32)
    available = rng.random(n) > 0.1
    columns = {"content": SPEC.encode_items(told)[0], "numbers": np.asfortranarray(SPEC.encode_numbers(told))}
    columns |= {"available": available, "by_popularity": rng.permutation(n).astype(np.int32)}
    values = {field.name: getattr(made, field.name) for field in fields(made)}
    tables = type(made)(**values | columns | {"embeddings": embeddings[:n]})
    puts = putting(*(item(f"put-{at}", at, content=each) for at, each in enumerate(put)))
    grown = TableExtender(tables, SPEC, 0.0, lambda content: embeddings[n : n + len(content)]).extend(puts)
    return tables, grown, told, put, embeddings


def test_five_hundred_filters_match_brute_force(shop):
    """Rows and order of each query in batches of different filters, with and without items put since."""
    tables, grown, told, put, embeddings = shop
    rng, n, k = np.random.default_rng(11), len(tables), 40
    index = ExactIndex(tables.embeddings, tables.available)
    indexes = (
        (index, AllowedItems(tables), told),
        (ExtendedIndex(index, grown), AllowedItems(tables).over(grown), told + put),
    )
    found_some = 0
    for batch in range(20):
        searched, allowed, items = indexes[batch % 2]
        wanted = [a_filter(rng) for _ in range(25)]
        users = rng.integers(-8, 9, (25, 16)).astype(np.float32)
        rows = np.stack([packed(matches(filters(each), SPEC)) for each in wanted])
        found = searched.search(users, k, allowed.of(rows))
        for query, each in enumerate(wanted):
            kept = [row for row, item in enumerate(items) if passes(item, each) and (row >= n or tables.available[row])]
            scores = embeddings[kept] @ users[query]
            best = np.array(kept, np.int32)[np.lexsort((kept, -scores))][:k]
            mine = found[query, : len(best)]
            np.testing.assert_array_equal(embeddings[mine] @ users[query], embeddings[best] @ users[query], str(each))
            assert len(set(mine.tolist()) & set(kept)) == len(best)
            assert (
                searched is not index or mine.tolist() == best.tolist()
            )  # of equal scores the index takes the lower row
            assert (found[query, len(best) :] == PAD).all()
            popular = tables.by_popularity[np.isin(tables.by_popularity, kept)].tolist()
            assert allowed.of(rows[query : query + 1])[0].popular.tolist() == popular[:POPULAR]
            found_some += len(best) == k
    assert found_some > 150


def test_bounds_compare_at_full_precision():
    """19.99 is not below 19.99, and the next smaller float is."""
    numbers = SPEC.encode_numbers([{"price": price} for price in (19.99, math.nextafter(19.99, 0), 0.0, -0.0, None)])

    def kept(**bounds):
        (wanted,) = matches({"price": Range(**bounds)}, SPEC)
        return wanted.of(None, numbers).tolist()

    assert kept(lt=19.99) == [False, True, True, True, False]
    assert kept(lte=19.99) == [True, True, True, True, False]
    assert kept(gt=0) == [True, True, False, False, False]
    assert kept(gte=0, lte=0) == [False, False, True, True, False]
    assert kept(gt=-1e308) == [True, True, True, True, False]


@pytest.mark.parametrize(
    ("column", "condition", "words"),
    [
        ("colour", ["red"], "there are categories, brand, price, stock, on_sale"),
        ("brand", {"lt": 5}, "holds text"),
        ("categories", True, "holds text"),
        ("price", ["cheap"], "numbers, not text"),
        ("price", True, "holds numbers"),
        ("on_sale", {"gte": 1}, "send true or false"),
        ("on_sale", ["true"], "send true or false"),
    ],
)
def test_a_condition_of_the_wrong_type_is_refused(column, condition, words):
    """The sentence says what the column holds."""
    with pytest.raises(ConditionError, match=words):
        match(column, filters({column: condition})[column], SPEC)
