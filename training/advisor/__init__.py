"""The advisor, `python -m training advise`: in which mode to serve each page or e-mail of a product, and why."""
