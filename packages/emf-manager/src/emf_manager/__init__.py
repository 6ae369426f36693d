"""The reference manager: gateway for agents, API and command line for operators."""
