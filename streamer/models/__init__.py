"""Artefacts: checked, tried, run and swapped."""
