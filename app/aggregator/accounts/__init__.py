"""Accounts: registration, log-in, sessions and tokens, and the collector key of each."""
