"""Reports as self-contained HTML pages: `page` and `charts` for any run, `run` for a training run."""
