"""The pinned pre-trained network, a photo to a feature vector; and which one this code has, without loading it."""

import hashlib

from include.backbone.weights import SHA256
from include.images import decoding

SIZE = 224  # pixels of each side of a photo that it is given
FEATURES = 1280  # numbers that it makes of one
GRAPH = 1  # raise it when the same weights and pixels give other features: other layers, another form of the graph

# whatever derives from the features is keyed by this
VERSION = hashlib.sha256(f"{SHA256} {SIZE} {decoding.VERSION} {GRAPH}".encode()).hexdigest()[:16]
