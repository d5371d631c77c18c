"""Flow tests keep Prefect's state out of the user's home and out of the checkout."""

import os
import tempfile

import pytest

# Prefect reads its home once, when it is imported: this must stand before any test module imports a flow.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="tandem-prefect-")


@pytest.fixture(scope="session")
def harness():
    """One temporary Prefect server for the tests that run tasks here."""
    from prefect.testing.utilities import prefect_test_harness

    import flows  # noqa: F401 its defaults stand before Prefect is imported

    with prefect_test_harness(server_startup_timeout=120):
        yield
