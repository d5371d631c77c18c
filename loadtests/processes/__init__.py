"""CPU time and memory of a server's processes during a load test, and free ports for servers."""
