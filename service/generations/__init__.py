"""Which generation a process holds, and which one the gateway answers from."""
