"""Artefacts: verifies, tests, runs and reloads them."""
