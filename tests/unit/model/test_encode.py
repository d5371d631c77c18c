"""The catalogue is encoded by distinct values, with the same result as row by row."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.model.feature_spec import CONTENT_TOKENS, FeatureSpec
from training.data.catalogue import encode_columns

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
def test_distinct_values_give_what_row_by_row_gives(items):
    """Content and order of tokens are equal for any lists, numbers and missing values."""
    table = pd.DataFrame({c: pd.Series([item[i] for item in items], dtype="object") for i, c in enumerate(COLUMNS)})
    table["price"] = table["price"].astype("float64")
    tokens, content = encode_columns(table, FeatureSpec(("",), EDGES, ()))
    spec = FeatureSpec(("", *tokens), EDGES, ())
    one_by_one = [dict(zip(COLUMNS, item, strict=True)) for item in items]
    cut = [{c: item[c] for c in COLUMNS} for item in one_by_one]
    seen = dict.fromkeys(t for item in cut for t in spec.item_tokens(item)[:CONTENT_TOKENS])
    assert tokens == list(seen)
    # A token that no row had room for is unknown to both, so rows agree up to what was cut off.
    expected = np.zeros((len(items), CONTENT_TOKENS), np.int32)
    for row, item in enumerate(cut):
        kept = [spec.token_rows[t] for t in spec.item_tokens(item)[:CONTENT_TOKENS]]
        expected[row, : len(kept)] = kept
    np.testing.assert_array_equal(content, expected)


def test_a_table_without_content_columns_has_no_tokens():
    """All rows are padding."""
    tokens, content = encode_columns(pd.DataFrame(index=range(3)), FeatureSpec(("",), {}, ()))
    assert tokens == []
    assert content.tolist() == [[0] * CONTENT_TOKENS] * 3
