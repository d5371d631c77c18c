"""Reports as self-contained HTML pages: `page` and `charts` for any report, `run_page` for a training run."""
