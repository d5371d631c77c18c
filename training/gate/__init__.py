"""The gate: checks that decide whether a trained generation may go live."""
