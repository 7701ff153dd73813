"""A dataset version to a trained network."""
