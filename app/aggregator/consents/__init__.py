"""Consents: a patient's signed grants to doctors."""
