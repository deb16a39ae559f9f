"""Role A, the aggregator: accounts, consents, uploads, tallies and their pages."""
