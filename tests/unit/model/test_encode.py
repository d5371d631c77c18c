"""Training encodes the catalogue as serving encodes items, and numbers the tokens by their first appearance."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.model.feature_spec import CONTENT_TOKENS, FeatureSpec
from training.encode.catalogue import encode_columns

COLUMNS = ("kinds", "price", "brand")
EDGES = {"price": (1.0, 2.5)}

rows = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abcdefghijklmnop"), max_size=CONTENT_TOKENS + 3, unique=True).map(tuple),
        st.one_of(st.none(), st.sampled_from([0.5, 1.0, 2.0, 7.0])),
        st.one_of(st.none(), st.sampled_from(["x", "y", ""])),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(rows)
def test_the_catalogue_is_encoded_as_in_serving(items):
    """Content and order of tokens are equal for any lists, numbers and missing values."""
    table = pd.DataFrame({c: pd.Series([item[i] for item in items], dtype="object") for i, c in enumerate(COLUMNS)})
    tokens, content = encode_columns(table.astype({"price": "float64"}), FeatureSpec(("",), EDGES, ()))
    spec, named = FeatureSpec(("", *tokens), EDGES, ()), [dict(zip(COLUMNS, item, strict=True)) for item in items]
    assert tokens == list(dict.fromkeys(t for item in named for t in spec.item_tokens(item)[:CONTENT_TOKENS]))
    np.testing.assert_array_equal(content, spec.encode_items(named)[0])
