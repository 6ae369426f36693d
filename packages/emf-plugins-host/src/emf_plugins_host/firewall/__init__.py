"""The room of the firewall: ports opened and closed through firewalld."""
