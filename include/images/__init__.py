"""Decoding, image properties, perceptual hashes, and the synthetic sample."""
