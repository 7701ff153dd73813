"""The object store: a small protocol, its local and S3 implementations, and the layout of all keys."""
