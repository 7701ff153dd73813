"""The pinned pre-trained network that turns a photo into a feature vector; its constants need no TensorFlow."""

import hashlib

from include.backbone.weights import SHA256
from include.images import decoding

SIZE = 224  # pixels of each side of an input photo
FEATURES = 1280  # length of a feature vector
GRAPH = 1  # increase when the same weights and pixels give other features: other layers, another form of the graph

# part of the key of everything that is derived from features
VERSION = hashlib.sha256(f"{SHA256} {SIZE} {decoding.VERSION} {GRAPH}".encode()).hexdigest()[:16]
