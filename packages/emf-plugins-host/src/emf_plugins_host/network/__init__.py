"""The room of interfaces, addresses, counters and LNet's view of them."""
