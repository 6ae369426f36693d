"""The lock's detached signature, made and verified by ssh-keygen(1): nothing to install."""

from __future__ import annotations

import subprocess
from pathlib import Path

from emf_agent.gate.refusal import GateError, Refusal

__all__ = ["NAMESPACE", "SSH_KEYGEN", "sign", "verify_signature"]

NAMESPACE = "emf-agent-lock"
SSH_KEYGEN = "/usr/bin/ssh-keygen"
WITHIN_S = 10.0


def verify_signature(text: bytes, signature: Path, signers: Path) -> str:
    """Return who signed the text: a principal of the ``signers`` file.

    Raises:
        GateError: there is no signature, it does not fit, or its key may not sign.

    """
    about = str(signature)
    for path in (signature, signers):
        if not path.is_file():
            raise GateError(
                [Refusal("sig", about, f"{path} is missing", "run `emf-agent plugin sign KEY`")]
            )
    found = keygen("find-principals", "-s", about, "-f", str(signers))
    principal = found.stdout.decode("utf-8", "replace").partition("\n")[0].strip()
    if found.returncode != 0 or not principal:
        raise GateError([Refusal("sig", about, f"its key is not in {signers}")])
    checked = keygen(
        "verify", "-f", str(signers), "-I", principal, "-n", NAMESPACE, "-s", about, text=text
    )
    if checked.returncode != 0:
        raise GateError(
            [Refusal("sig", about, "does not fit the lock", "run `emf-agent plugin sign KEY`")]
        )
    return principal


def sign(lock: Path, key: Path) -> Path:
    """Sign a lock, and return the signature's file.

    Raises:
        GateError: ssh-keygen refused, with what it said.

    """
    signature = lock.with_name(f"{lock.name}.sig")
    signature.unlink(missing_ok=True)
    done = keygen("sign", "-f", str(key), "-n", NAMESPACE, str(lock))
    if done.returncode != 0 or not signature.exists():
        said = done.stderr.decode("utf-8", "replace").strip()
        raise GateError([Refusal("sig", str(lock), f"was not signed: {said}")])
    return signature


def keygen(verb: str, *arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run one verb of ``ssh-keygen -Y``, with an environment of our own."""
    try:
        return subprocess.run(  # noqa: S603 - a fixed program, and paths of ours
            [SSH_KEYGEN, "-Y", verb, *arguments],
            input=text,
            capture_output=True,
            timeout=WITHIN_S,
            check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GateError([Refusal("sig", SSH_KEYGEN, f"cannot verify: {error}")]) from error
