"""Server targets: ``lctl`` under a policy, and ldev.conf."""
