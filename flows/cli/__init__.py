"""The command line: the verbs, what each is told, and how each says what it did."""
