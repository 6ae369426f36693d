"""What the benchmark of the agent is made of; ``benchmarks/agent.py`` is the program."""
