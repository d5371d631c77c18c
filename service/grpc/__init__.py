"""The gRPC server: the proto and its generated code (`tandem/v1`, by `make proto`), conversions, handlers."""
