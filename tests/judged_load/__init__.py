"""Load for fault tests: sends requests at a fixed rate, and checks each answer against the models that it names."""
