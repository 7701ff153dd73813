"""From a trained network to a model version that others may trust."""
