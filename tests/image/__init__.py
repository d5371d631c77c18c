"""Test of the container image (`make image-test`): builds and runs it without a container engine's daemon."""
