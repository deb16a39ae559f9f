"""Hushbeat's cryptography: Paillier, comparison, opening, sealing, signatures.

The package knows nothing of the web, of tasks or of tables. Two parts are private and nothing else
in the package imports them: `crypto.unsealing` (whoever opens sealed messages) and
`crypto.keyholder` (the Paillier private key and the masks).
"""
