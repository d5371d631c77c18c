"""The gate: checks that decide whether a newly trained model may go live."""
