"""A simulated Lustre node: one stateful fake of ``lctl``, ``lfs``, ``mount`` and their like.

``emf_plugins_lustre.testing.node`` makes one, ``emf_plugins_lustre.testing.fixtures`` is the
pytest plugin with the fixture ``simulated_node``, ``python -m emf_plugins_lustre.testing`` makes
one for a demo. The programs import this package without anything beside the standard library, so
that each starts in a few hundredths of a second: keep it so.
"""
