"""Parts of the flow `drain`: remove deleted users from all that flows have left on disk and in buckets."""
