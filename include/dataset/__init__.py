"""Photos to one immutable dataset version."""
