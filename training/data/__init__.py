"""From a dataset's files to an interactions log: mapping, checks, quarantine, arrays."""
