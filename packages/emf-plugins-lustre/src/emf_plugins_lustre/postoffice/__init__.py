"""The post office: local programs write lines, the manager gets them."""
