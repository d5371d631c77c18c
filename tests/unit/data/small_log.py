"""A log of three columns and its dataset.toml, to be changed by a test."""

import pandas as pd

TOML = 'name = "shop"\n[interactions]\nfile = "{file}"\nuser_id = "who"\nitem_id = "what"\ntimestamp = "when"\n'


def rows(count=20, **columns):
    """A good log of `count` rows."""
    return pd.DataFrame(
        {"who": range(count), "what": range(100, 100 + count), "when": range(1_700_000_000, 1_700_000_000 + count)}
        | columns
    )
