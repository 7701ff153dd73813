"""The live server and the way to ask it."""
