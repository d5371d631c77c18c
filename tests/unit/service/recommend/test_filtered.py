"""The filter of a request, in all stages and fallbacks."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter

from recsys.filters.conditions import Condition
from service.backends import wire
from service.schema import Mode
from tests.fakes.in_process import InProcessService, ids
from tests.sample_data import tiny
from tests.sample_data.put_items import item, putting
from training.encode.interaction_log import encode
from training.export.generation import Origin, export
from training.read import dataset
from training.recipe import train

filters = TypeAdapter(dict[str, Condition]).validate_python


@pytest.fixture(scope="module")
def world(tiny_world):
    return InProcessService(tiny_world[0])


def test_a_batch_of_filtered_and_other_queries(world):
    """Filtered queries get items of the filter. The rows of other queries equal those of a batch without filters."""
    seen = []

    async def retrieve(rows):
        seen.append((rows.copy(), world.retrieval.retrieve(rows)))
        return seen[-1][1]

    def batch(*filters):
        queries = [world.query(user=user, now=1.7e9, filter=of) for user, of in zip((4, 5, 6, 7), filters, strict=True)]
        world.run(*queries, retrieve=retrieve)
        return queries, *seen.pop()

    drama, comedy = ({"categories": [name]} for name in ("drama", "comedy"))
    queries, sent, found = batch({}, drama, {}, comedy)
    _, plain_sent, plain_found = batch({}, {}, {}, {})
    assert sent.shape == plain_sent.shape
    for row in (0, 2):
        np.testing.assert_array_equal(found[row], plain_found[row])
    for row, name in ((1, "drama"), (3, "comedy")):
        assert len(ids(queries[row])) == 10
        assert all(item.startswith(name) for item in ids(queries[row]))
        rows = wire.candidates(wire.as_table(found, wire.RETRIEVED)).items[row]
        assert all(world.served.item_id(int(each)).startswith(name) for each in rows[rows >= 0])
        assert "filter" not in queries[row].removed


SALES = ("yes", "no", "", "No", "TRUE", "false", "n", "0", "f", "no")

RARE, COMMON = 20, 1_980
"""Items of a category that is 1 % of the catalogue, and of the others."""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A world of 2,000 items with 20 rare ones, and its folder; a tenth of the prices and booleans is missing."""
    folder, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    tiny.write(folder / "data")
    mapping = folder / "data" / "dataset.toml"
    more = 'numeric = ["year", "price"]\nboolean = ["on_sale"]'
    mapping.write_text(mapping.read_text().replace('numeric = ["year"]', more))
    names = [f"rare-{number}" for number in range(RARE)] + [f"common-{number}" for number in range(COMMON)]
    with (folder / "data" / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerow(("item_id", "title", "genre", "year", "price", "on_sale"))
        for at, name in enumerate(names):
            price = "" if rng.random() < 0.1 else f"{rng.gamma(2, 10):.2f}"
            csv.writer(file).writerow((name, name, name.partition("-")[0], 1990 + at % 30, price, SALES[at % 10]))
    with (folder / "data" / "interactions.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("user_id", "item_id", "timestamp", "device"))
        for user in range(tiny.USERS):
            for step in range(12):
                item = names[min(int(rng.exponential(400)) + RARE, len(names) - 1)]
                item = f"rare-{user % RARE}" if not step and not user % 8 else item
                out.writerow((user, item, 1.6e9 + 86_400 * step + user, tiny.DEVICES[user % 2]))
    log = encode(dataset.read(folder / "data"))
    config = replace(tiny.CONFIG, tower=replace(tiny.CONFIG.tower, epochs=2))
    made = export(folder / "generations", log, train(log, config), config, Origin("large"))
    return InProcessService(made), made


def test_a_range_finds_items_put_since(large, monkeypatch):
    """By the numbers and booleans of the put. An item without the column is not found."""
    world, _ = large
    content = {"categories": ["rare"], "year": 1995}
    puts = putting(
        item("cheap", 1, content=content | {"price": 0.01, "on_sale": True}),
        item("dear", 2, content=content | {"price": 5_000, "on_sale": True}),
        item("off", 3, content=content | {"price": 5_000.5, "on_sale": False}),
        item("unknown", 4, content=content),
    )
    monkeypatch.setattr(world, "puts", dict.fromkeys(world.puts, puts))

    def found(wanted, **more):
        query = world.run(world.query(k=20, filter=filters(wanted), traced=True, **more))
        return query, ids(query)

    for mode in Mode:
        assert set(found({"price": {"gt": 4_000}}, mode=mode)[1]) == {"dear", "off"}
        assert found({"price": {"gte": 5_000, "lt": 5_000.5}}, mode=mode)[1] == ["dear"]
        assert found({"price": {"lte": 0.01}}, mode=mode)[1] == ["cheap"]
        assert found({"price": {"gt": 4_000}, "on_sale": False}, mode=mode)[1] == ["off"]
    query, _ = found({"on_sale": True, "price": {"gt": 4_000}})
    explained = world.explain(query, query.generation.row_of("off"))
    assert explained.reason == "The request's filter requires on_sale true, and the item's on_sale is false."
