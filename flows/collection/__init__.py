"""Parts of the flow `drain`: copy events into files, keep the number of files small, and remove old days."""
