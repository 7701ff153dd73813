"""All that runs in the environment of Deepchecks, and nothing else."""
