"""A network to a model version that can be trusted."""
