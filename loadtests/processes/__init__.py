"""The processes of a deployment under load: CPU time, memory, free ports."""
