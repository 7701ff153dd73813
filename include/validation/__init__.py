"""The data checks before training, and the model checks after it, by Deepchecks.

Two environments meet here. `deepchecks_env/` runs in `.venv-validation`, and imports nothing else of the project; the
other modules run in the main environment. Between them lies a folder: `export` or `model` fills it, a suite reads it
and writes `result.json`.
"""
