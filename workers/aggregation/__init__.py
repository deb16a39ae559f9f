"""The aggregation worker: compares with the key holder and counts, without seeing either result."""
