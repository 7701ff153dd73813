"""What enters the lake: base photos, uploads, feedback and reviews."""
