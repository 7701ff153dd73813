"""Bytes to pixels, the numbers of one picture, and the drawn sample."""
