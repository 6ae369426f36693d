"""The room of packages, kernel modules and kernels."""
