"""``emf-agent plugin lock`` and its kin: make, compare, verify and sign the closed world.

None of them imports a plugin, and none can be called by the manager: to widen what runs here is a
local, human act, as recompiling was.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from emf_agent.cli.options import json_option, node_options
from emf_agent.discovery import metadata_path, read_allowlist
from emf_agent.errors import ConfigurationError, EmfError, RefusedError
from emf_agent.gate.archive import boot_archive
from emf_agent.gate.boot import Places, requires_signature
from emf_agent.gate.lockfile import LOCK_BYTES, Lock, dump_lock, parse_lock, python_tag
from emf_agent.gate.ownership import read_trusted, trusted_owners
from emf_agent.gate.refusal import GateError, Refusal
from emf_agent.gate.signature import sign, verify_signature
from emf_agent.gate.verification import verify_files
from emf_agent.identity_files import write_private
from emf_agent.locking import differences, make_lock
from emf_agent.settings import Settings, load_settings
from emf_agent.wheels import check_wheel, wheel_hashes, wheels_in

__all__ = ["boot", "check", "diff", "lock", "sign_lock", "verify"]

EMPTY = Lock("", "", {})


@click.command("lock")
@node_options
@click.option(
    "--from-wheels",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take the hashes from the wheels in this folder: the build host decides, not the node.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Another file.")
def lock(
    config: Path | None, state_dir: Path | None, from_wheels: Path | None, output: Path | None
) -> None:
    """Write the lock: every file of the agent, of the allowed plugins, and of what they need.

    Exit 1 where what is installed cannot be locked, 78 where the allowlist is wrong.
    """
    settings = load_settings(config, state_dir)
    made, left_out = fresh(settings, from_wheels)
    target = output or settings.paths.lock
    for line in differences(old(target), made):
        click.echo(line)
    for line in left_out:
        click.echo(f"not in the lock: {line}", err=True)
    write_private(target, dump_lock(made).decode(), mode=0o644)
    click.echo(f"wrote {target}: {len(made.distributions)} distributions")


def fresh(settings: Settings, from_wheels: Path | None = None) -> tuple[Lock, tuple[str, ...]]:
    """Return the lock of what is installed now, and the plugins that are not in it."""
    allowlist = read_allowlist(settings.paths.allowlist)
    return make_lock(
        allowlist,
        settings.paths.allowlist.read_bytes(),
        path=metadata_path(),
        wheels=wheel_hashes(from_wheels) if from_wheels else None,
    )


def old(path: Path) -> Lock:
    """Return the lock that is there; an empty one where there is none that can be read."""
    try:
        return parse_lock(path.read_bytes(), str(path))
    except (OSError, GateError):
        return EMPTY


@click.command("diff")
@node_options
def diff(config: Path | None, state_dir: Path | None) -> None:
    """Show what `plugin lock` would change (exit 1), or nothing (exit 0)."""
    settings = load_settings(config, state_dir)
    made, left_out = fresh(settings)
    changes = differences(old(settings.paths.lock), made)
    for line in (*changes, *(f"not in the lock: {one}" for one in left_out)):
        click.echo(line)
    if changes:
        raise click.exceptions.Exit(1)


@click.command("verify")
@node_options
@json_option
@click.option("--signature", "only_signature", is_flag=True, help="Check the signature alone.")
def verify(
    config: Path | None, state_dir: Path | None, *, as_json: bool, only_signature: bool
) -> None:
    """Do everything that the boot does, except import (exit 1 where something is wrong)."""
    paths = load_settings(config, state_dir).paths
    places = Places(paths.allowlist, paths.lock, paths.code_cache)
    found = list(examine(places, only_signature=only_signature))
    if as_json:
        click.echo(json.dumps([vars(one) for one in found], indent=2))
    else:
        for one in found:
            click.echo(str(one))
        click.echo(f"{places.lock}: {f'{len(found)} faults' if found else 'as locked'}")
    if found:
        raise click.exceptions.Exit(1)


def examine(places: Places, *, only_signature: bool) -> list[Refusal]:
    """Return everything that is wrong."""
    owners = trusted_owners()
    try:
        policy = read_trusted(places.policy, owners, limit_bytes=LOCK_BYTES)
        text = read_trusted(places.lock, owners, limit_bytes=LOCK_BYTES)
        if only_signature or requires_signature(policy):
            verify_signature(text, places.signature, places.signers)
        if only_signature:
            return []
        locked = parse_lock(text, str(places.lock))
    except GateError as error:
        return list(error.refusals)
    found = []
    if locked.python != python_tag():
        found.append(
            Refusal("lock", str(places.lock), f"is for {locked.python}, this is {python_tag()}")
        )
    refused = verify_files(locked, owners)
    return found + [one for refusals in refused.values() for one in refusals]


@click.command("sign")
@node_options
@click.argument("key", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def sign_lock(config: Path | None, state_dir: Path | None, key: Path) -> None:
    """Sign the lock with the ssh key KEY; its public half belongs into `lock_signers`."""
    path = load_settings(config, state_dir).paths.lock
    try:
        click.echo(f"wrote {sign(path, key)}")
    except GateError as error:
        raise EmfError(str(error)) from error


@click.command("boot")
@node_options
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
def boot(config: Path | None, state_dir: Path | None, output: Path) -> None:
    """Write the boot archive OUTPUT: what starts the agent, and the lock of the agent itself.

    It belongs where pip does not write, such as /usr/lib/emf-agent/boot.pyz, and is made again
    when the agent is updated.
    """
    settings = load_settings(config, state_dir)
    path = settings.paths.lock
    try:
        locked = parse_lock(read_trusted(path, trusted_owners(), limit_bytes=LOCK_BYTES), str(path))
    except GateError as error:
        raise ConfigurationError([str(one) for one in error.refusals]) from error
    core = locked.core()
    refused = verify_files(core, trusted_owners())
    if refused:
        told = [str(one) for refusals in refused.values() for one in refusals]
        raise RefusedError("\n".join(told))
    write_bytes(output, boot_archive(core))
    click.echo(f"wrote {output}: {len(core.distributions)} distributions of the agent")


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file in one step."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        part.write_bytes(data)
        part.chmod(0o644)
        part.replace(path)
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be written: {error.strerror}"]) from error


@click.command("check")
@node_options
@click.argument("place", type=click.Path(exists=True, path_type=Path))
def check(config: Path | None, state_dir: Path | None, place: Path) -> None:  # noqa: ARG001 - both flags stand on every command
    """Say what is wrong with a plugin's wheel, or a folder of them (exit 1); installs nothing."""
    wrong = 0
    for path in wheels_in(place):
        faults = check_wheel(path)
        wrong += bool(faults)
        click.echo(f"{path.name}: {f'{len(faults)} faults' if faults else 'fine'}")
        for fault in faults:
            click.echo(f"  {fault}")
    if wrong:
        raise click.exceptions.Exit(1)
