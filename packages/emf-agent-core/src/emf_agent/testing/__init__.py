"""The test kit, for our tests and for plugin authors' own: virtual time, a daemon's life, fakes.

Outside the floors; nothing of the agent imports it. As a pytest plugin
(``pytest_plugins = ["emf_agent.testing"]``) it offers the fixture ``anyio_backend`` in virtual time
on asyncio and trio. ``emf_agent.testing.fleet`` is many agents in one process, for a real manager.
"""

from importlib.util import find_spec

from emf_agent.testing.daemons import Sample, sample_daemon
from emf_agent.testing.fake_manager import FakeManager
from emf_agent.testing.journals import open_unthreaded_journal
from emf_agent.testing.virtual_time import VirtualTimeLoop

if find_spec("pytest"):  # a simulated fleet runs where no tests do
    from emf_agent.testing.fixtures import anyio_backend

__all__ = [
    "FakeManager",
    "Sample",
    "VirtualTimeLoop",
    "anyio_backend",
    "open_unthreaded_journal",
    "sample_daemon",
]
