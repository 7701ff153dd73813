"""Deepchecks decides whether photos look as they should, before anything is trained on them.

Two environments meet in this folder. `offline`, `chance`, `properties`, `checks` and `suite` run in `.venv-validation`
and import nothing else of the house; the other modules run in the main one. Between them lies a folder: `exporting`
fills it, `suite` reads it and leaves `result.json`.
"""
