"""Hot pools: configuration of lamigo and lpurge."""
