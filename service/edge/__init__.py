"""What stands between the network and the doors: who may knock, and how much a stranger may take before that.

Of keys: `keyring` is the file of keys, `limits` how often, `gate` the verdict on a caller; `guard` asks it for HTTP,
`calls` for gRPC, `tenants` about the users that a request names. Both doors behind them know of none of it.
Of transport: `connection`, `sweep` and `bounds` are of connections and sizes, `tls` of certificates, `headers` of what
every answer has, `inside` of what a deployment says to itself. docs/security.md.
"""
