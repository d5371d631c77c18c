"""Records are written as they come, and read as if they had been packed at once."""

import numpy as np
import pytest

from recsys.strings import StringTable
from training.export import save_blobs


@pytest.mark.parametrize("blobs", [[], [b""], [b"a", b"", b"\x00\xff" * 700], [bytes(1_000)] * 300])
def test_blobs_written_one_by_one_are_a_string_table(tmp_path, blobs):
    """No bytes, few or many: the two files hold what packing all of them in memory gives."""
    save_blobs(tmp_path, "records", iter(blobs))
    packed = StringTable.pack_bytes(blobs)
    data = np.load(tmp_path / "records.data.npy", mmap_mode="r" if any(blobs) else None, allow_pickle=False)
    offsets = np.load(tmp_path / "records.offsets.npy", allow_pickle=False)
    np.testing.assert_array_equal(data, packed.data)
    np.testing.assert_array_equal(offsets, packed.offsets)
    assert offsets.dtype == packed.offsets.dtype
