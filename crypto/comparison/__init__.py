"""Secure comparison between A and B: bit(a, b) = [a >= b] under encryption (docs/protocol.md, 5).

Messages, sessions and A's side of the fast comparison, which serves; B's side is
`crypto.keyholder.fast`. The reference engine (`crypto.comparison.reference`, `crypto.keyholder.
reference`) is Damgard, Geisler, Kroigaard (ACISP 2007; correction IJACT 2009) inside Veugen's
reduction (WIFS 2012; corrected in ePrint 2018/1100): the oracle of its tests.
"""
