"""Role B, the key holder: manifest, comparisons, enrolment and grants, openings."""
