"""The image, built and run on this machine without a container engine's daemon: `make image-test`."""
