"""Recovery of a patient's account whose keys are lost: A relays and, for an operator, vouches."""
