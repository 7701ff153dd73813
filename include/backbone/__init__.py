"""The pinned pre-trained network: a photo to a feature vector."""
