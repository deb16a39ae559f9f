"""B's private half: the Paillier private key, the masks, and what is computed with them.

Only the key holder imports this package; an import contract in the tests keeps it so.
"""
