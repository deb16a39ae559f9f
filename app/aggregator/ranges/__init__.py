"""Healthy ranges: made and encrypted by a doctor, one in force a patient."""
