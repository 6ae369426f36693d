"""Client mounts and their lines in fstab."""
