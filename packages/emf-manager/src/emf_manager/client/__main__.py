"""``python -m emf_manager.client`` is ``emf``."""

from emf_manager.client.cli import main

main()
