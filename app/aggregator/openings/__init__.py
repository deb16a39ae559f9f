"""Openings: a blinded ciphertext, its signed statement and its sealed blind for one collector."""
