"""The test kit, for our tests and for plugin authors' own: virtual time, a daemon's life, fakes.

Outside the floors; nothing of the agent imports it. As a pytest plugin
(``pytest_plugins = ["emf_agent.testing"]``) it offers the fixture ``anyio_backend`` in virtual time
on asyncio and trio.
"""

from emf_agent.testing.daemons import Sample, sample_daemon
from emf_agent.testing.fixtures import anyio_backend
from emf_agent.testing.virtual_time import VirtualTimeLoop

__all__ = ["Sample", "VirtualTimeLoop", "anyio_backend", "sample_daemon"]
