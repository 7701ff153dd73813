"""A model version becomes the champion, or not."""
