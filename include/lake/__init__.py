"""The object store: one small protocol, two stores, and every key in one place."""
