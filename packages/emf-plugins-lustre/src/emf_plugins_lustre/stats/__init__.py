"""Lustre statistics: read what ``lctl`` and ``lnetctl`` print, serve it as records and metrics.

Floors, bottom up: ``records`` and ``losses`` (values), ``lines`` and ``numbers`` (bytes),
one module for each format, ``parameters`` (which format stands behind which key), ``dump``
and ``job_reader`` (a whole output), the expositions, and at the edges ``collect``,
``listener``, ``offline`` and ``plugin``.
"""
