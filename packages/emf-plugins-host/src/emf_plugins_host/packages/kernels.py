"""Actions on kernels and their modules: loaded, version, the newest kernel that has them all."""

from __future__ import annotations

from pathlib import Path

from emf_agent.command import CommandFailedError, run
from emf_agent.errors import ActionError
from emf_agent.plugin import action
from emf_plugins_host.packages.manager_choice import ask_manager
from emf_plugins_host.packages.names import ModuleName

__all__ = ["get_kernel", "kernel_module_loaded", "kernel_module_version", "loaded_modules"]

TIMEOUT_S = 60
LOADED = Path("/proc/modules")


@action(timeout_s=TIMEOUT_S, idempotent=True, read_only=True)
def kernel_module_loaded(module: ModuleName) -> bool:
    """Tell whether a kernel module is loaded; hyphens and underscores are the same in its name."""
    try:
        text = LOADED.read_text()
    except OSError as error:
        raise ActionError(f"this kernel loads no modules: {LOADED}: {error.strerror}") from error
    return module.replace("-", "_") in loaded_modules(text)


def loaded_modules(text: str) -> frozenset[str]:
    """Return the names in /proc/modules, what lsmod(8) shows."""
    return frozenset(line.partition(" ")[0] for line in text.splitlines())


@action(timeout_s=TIMEOUT_S, idempotent=True, read_only=True)
async def kernel_module_version(module: ModuleName) -> str:
    """Return the version a kernel module carries; empty where it carries none."""
    completed = await run(["modinfo", "-F", "version", "--", module])
    return completed.stdout.text.strip()


@action(timeout_s=TIMEOUT_S, idempotent=True, read_only=True)
async def get_kernel(modules: list[ModuleName]) -> str:
    """Return the newest installed kernel that has all the modules; empty where none has."""
    for kernel in await ask_manager(lambda manager: manager.installed_kernels()):
        if await has_modules(kernel, modules):
            return kernel
    return ""


async def has_modules(kernel: str, modules: list[str]) -> bool:
    """Tell whether a kernel, running or not, has all the modules."""
    for module in modules:
        try:
            await run(["modinfo", "-n", "-k", kernel, "--", module])
        except CommandFailedError:
            return False
    return True
