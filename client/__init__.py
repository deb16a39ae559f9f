"""The Python collector: a patient's gateway or a doctor's script, with its own keys."""
