"""Inputs by the million: what reads what others write must never raise what it does not name.

`python -m tests.fuzz TARGET --runs N` lets atheris (coverage-guided) look for inputs that do; `make fuzz` runs all
targets. `test_targets.py` puts generated inputs through the same functions, without it.
"""
