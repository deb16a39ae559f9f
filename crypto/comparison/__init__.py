"""Secure comparison between A and B: bit(a, b) = [a >= b] under encryption (design section 3).

The reference engine: Damgard, Geisler, Kroigaard (ACISP 2007; correction IJACT 2009) inside
Veugen's reduction (WIFS 2012; corrected in ePrint 2018/1100). Here are the messages and A's side;
B's side is `crypto.keyholder.reference`.
"""
