"""The page of an advice, which `render` makes."""
