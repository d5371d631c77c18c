"""Who may knock: keys, what each is for, how often it may be used, and the port of those who operate.

`keyring` is the file of keys, `limits` how often, `gate` the verdict on a caller; `guard` asks it for HTTP, `calls` for
gRPC, `tenants` about the users that a request names. Both doors behind them know of none of it. docs/security.md.
"""
