"""The closed world: what must be true before anything is imported. Standard library only.

These modules run before the gate exists, from an archive outside the site that pip writes to
(security design, section 3). So they import nothing but the standard library and each other, and
this file nothing at all.
"""
