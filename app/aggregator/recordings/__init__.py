"""Sealed recordings: their upload, their way to a worker and back, and their states."""
