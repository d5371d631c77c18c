"""What Tandem is measured against: the same work on the same generation, by the usual means."""
