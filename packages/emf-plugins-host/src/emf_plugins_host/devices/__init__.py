"""The room of devices: block devices as a tree, mounts, pools, and the file systems of an MGS."""
