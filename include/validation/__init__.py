"""Deepchecks decides whether photos look as they should, before anything is trained on them; and looks at the model.

Two environments meet in this folder. `offline`, `chance`, `properties`, `judging`, `checks` and `suite`, and
`model_checks` and `model_suite`, run in `.venv-validation` and import nothing else of the house; the other modules run
in the main one. Between them lies a folder: `exporting`, or `release/weaknesses.py`, fills it, a suite reads it and
leaves `result.json`.
"""
