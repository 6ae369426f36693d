"""EMF Agent's host bundle: everything a node is, apart from Lustre.

One room per entry point, each with a ``plugin`` module that is wiring only. Below them stand the
doors that several rooms share: ``dbus``, ``netlink``, ``procfs`` and ``config_file``.
"""
