"""Flow tests keep Prefect's state out of the user's home and out of the checkout."""

import os
import tempfile

# Prefect reads its home once, when it is imported: this must stand before any test module imports a flow.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="tandem-prefect-")
