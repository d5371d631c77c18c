"""The implementation of the verbs, without HTTP, gRPC or BentoML. A new verb starts in `service.schema.verb_table`."""
