"""The page of an advice: `render` makes it, and `advice.js` is its script."""
