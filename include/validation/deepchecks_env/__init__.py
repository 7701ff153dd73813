"""The modules that run in the virtual environment of Deepchecks, and no others."""
