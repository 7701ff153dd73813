"""From a manifest to a trained, evaluated and packaged network."""
