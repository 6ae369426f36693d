"""Hatch environment collector: passes over the matrix's interpreters that this machine lacks.

Hatch would try to download them, and ends in a traceback where it cannot. A shim that points
nowhere counts as missing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Any

from hatch.env.collectors.plugin.interface import EnvironmentCollectorInterface


class PresentInterpreters(EnvironmentCollectorInterface):
    """Narrows every matrix to what can run here."""

    def finalize_config(self, config: dict[str, dict[str, Any]]) -> None:
        """Drop absent interpreters from each matrix, and name them once."""
        absent: set[str] = set()
        for environment in config.values():
            for axes in environment.get("matrix", []):
                wanted = axes.get("python", [])
                present = [version for version in wanted if is_present(version)]
                absent |= set(wanted) - set(present)
                if present:
                    axes["python"] = present
        if absent and sys.argv[1:2] == ["test"]:
            names = ", ".join(sorted(absent))
            print(f"not tested, since this machine has no such Python: {names}", file=sys.stderr)


def is_present(version: str) -> bool:
    """Tell whether ``pythonX.Y`` runs here."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return True
    program = shutil.which(f"python{version}")
    if program is None:
        return False
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    answer = subprocess.run([program, "-c", ask], capture_output=True, text=True, check=False)
    return answer.stdout.strip() == version
