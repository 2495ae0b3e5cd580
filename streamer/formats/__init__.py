"""Converts between bytes and events: `decode`, `encode`, and the formats that they use. Pure."""
