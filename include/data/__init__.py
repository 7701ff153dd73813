"""From raw photos to one immutable dataset version."""
