"""The node agent. Floors, bottom up: values, rules, book, doors, loops, whole, command line.

``docs/architecture.md`` draws the house; the import contracts in ``pyproject.toml`` hold it.
"""
