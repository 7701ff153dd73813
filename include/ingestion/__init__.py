"""What enters the lake, and what people said of it."""
