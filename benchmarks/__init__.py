"""Measurements: medians, and ratios against a limit taken in the same run (`make bench`)."""
