"""``python -m emf_agent``."""

from emf_agent.cli import main

main()
