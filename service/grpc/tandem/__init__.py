"""The Python packages of the gRPC interface tandem.v1, with one folder for each part of the name."""
