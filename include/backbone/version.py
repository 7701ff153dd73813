"""Which backbone this code has, without loading it: whatever derives from its features is keyed by this."""

import hashlib

from include.backbone.weights import SHA256
from include.images import decoding

NAME = "efficientnet_lite0"
SIZE = 224  # pixels of each side of a photo that it is given
FEATURES = 1280  # numbers that it makes of one
GRAPH = 1  # raise it when the same weights and pixels give other features: other layers, another form of the graph

VERSION = hashlib.sha256(f"{SHA256} {SIZE} {decoding.VERSION} {GRAPH}".encode()).hexdigest()[:16]
