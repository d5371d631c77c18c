"""What each endpoint (verb) does, such as recommend or store events, without HTTP, gRPC or BentoML.

A new endpoint starts in `service.schema.verb_table`.
"""
