"""Every HTML page that we write for people."""
