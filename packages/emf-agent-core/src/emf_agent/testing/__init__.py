"""The test kit, for our tests and for plugin authors' own: virtual time, a daemon's life, fakes.

Outside the floors; nothing of the agent imports it. As a pytest plugin
(``pytest_plugins = ["emf_agent.testing"]``) it offers the fixture ``anyio_backend`` in virtual time
on asyncio and trio.
"""

from emf_agent.testing.daemons import Sample, sample_daemon
from emf_agent.testing.fake_manager import FakeManager
from emf_agent.testing.fixtures import anyio_backend
from emf_agent.testing.journals import open_unthreaded_journal
from emf_agent.testing.virtual_time import VirtualTimeLoop

__all__ = [
    "FakeManager",
    "Sample",
    "VirtualTimeLoop",
    "anyio_backend",
    "open_unthreaded_journal",
    "sample_daemon",
]
