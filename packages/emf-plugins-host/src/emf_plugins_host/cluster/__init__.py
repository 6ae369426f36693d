"""The room of the cluster: corosync below, pacemaker above, whichever shell manages them."""
