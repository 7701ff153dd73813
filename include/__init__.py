"""All that can be tested without Airflow and without a browser. See docs/architecture.md for the stages."""

import os

# TensorFlow leaves oneDNN out on CPUs without AVX-512. There a photo then takes one and a half times as long, and its
# vector depends on the photos beside it. TensorFlow looks when it is imported; whoever sets the variable decides.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
