"""The gRPC door: the proto and its generated code (`tandem/v1`, by `make proto`), conversions, the server."""
