"""Tables as records, and results as lines."""
