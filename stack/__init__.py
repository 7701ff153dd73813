"""The local stack: what `make demo` and `make up` run on one machine. Nothing of the product imports it."""
