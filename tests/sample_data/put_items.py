"""Sample items for tests: added after training through PUT /items, or in the catalogue and never used."""

from __future__ import annotations

from dataclasses import replace

from recsys.fresh_items.put_items import NOTHING_PUT, PutItem
from tests.sample_data import tiny
from tests.sample_data.shared import shared
from training.encode.interaction_log import encode
from training.export.generation import Origin, export
from training.read import dataset
from training.recipe import train

LATER = 4e9
"""After the data of any world here ends."""

UNSEEN = ("comedy-90", "drama-91", "plain")
"""Items of the table without interactions; the last has no content."""


def item(item_id, seq, *categories, year=None, **more):
    """An item put; `more` as in PutItem."""
    content = {"categories": list(categories)} | ({} if year is None else {"year": year})
    fields = {"version": 1, "put_at": LATER, "title_at": LATER, "available_at": LATER, "content": content} | more
    return PutItem(item_id, seq, **fields)


def putting(*items, version=1):
    return NOTHING_PUT.joined(items, "e", version)


def hide(item_id, seq, **more):
    return PutItem(item_id, seq, 1, LATER, available=False, **({"available_at": LATER} | more))


def world(folder):
    """A generation of a catalogue with items without interactions, and its log; trained once in a test run."""

    def make(target):
        tiny.write(target / "data")
        with (target / "data" / "items.csv").open("a") as table:
            table.write("comedy-90,Unseen,comedy|drama,2003\ndrama-91,Unseen,drama,\nplain,,,\n")
        log = encode(dataset.read(target / "data"))
        config = replace(tiny.CONFIG, tower=replace(tiny.CONFIG.tower, epochs=4))
        export(target / "generations", log, train(log, config), config, Origin("unseen"))

    shared("unseen", folder, make)
    return tiny.made(folder)
