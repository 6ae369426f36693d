"""Joining a manager: a token for a certificate, verified from the first byte."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from urllib.parse import urlsplit

import anyio.to_thread

from emf_agent.errors import UsageError
from emf_agent.host_facts import resolve_fqdn
from emf_agent.identity_files import IdentityFiles, new_key_request, write_private
from emf_agent.settings import Settings
from emf_agent.tls import authority_context, fetch_authority
from emf_agent.transport import enrol
from emf_agent.wire import EnrolmentToken, EnrolRequest

__all__ = ["identity_files", "join"]

DEFAULT_PORT = 443


class NotAnAddressError(UsageError):
    """What was given is no address of a manager."""

    def __init__(self, given: str) -> None:
        super().__init__(f"{given}: must be an address like https://manager:7443")


def identity_files(settings: Settings) -> IdentityFiles:
    """Return where this node's identity is kept."""
    return IdentityFiles(settings.key_path, settings.certificate_path, settings.authority_path)


async def join(settings: Settings, manager_url: str, token: EnrolmentToken) -> str:
    """Enrol, write the identity and the manager's address, and return the node's name.

    Nothing is sent before the manager has shown the authority that the token names.

    Raises:
        ManagerUnreachableError: no answer, or it is not the manager of the token.
        ManagerRefusedError: the manager said no, with its reason.
        ProtocolError: the manager's answer is no identity; nothing was written.
        ConfigurationError: the files cannot be written.

    """
    # Late, since the running agent imports this room too and never writes TOML.
    import tomlkit

    host, port = address_of(manager_url)
    authority = await anyio.to_thread.run_sync(
        partial(fetch_authority, host, port, token.authority_sha256)
    )
    fqdn = settings.node.fqdn or resolve_fqdn()
    pair = new_key_request(fqdn)
    answer = await enrol(
        manager_url,
        authority_context(authority),
        EnrolRequest(
            token=token.secret, fqdn=fqdn, csr=pair.csr, agent_version=version("emf-agent-core")
        ),
    )
    identity_files(settings).keep(pair, answer)
    document = tomlkit.document()
    document.add(tomlkit.comment("Written by `emf-agent enroll`."))
    document["manager"] = {"url": manager_url.rstrip("/")}
    document["node"] = {"fqdn": answer.fqdn}
    write_private(
        settings.paths.drop_ins / "10-enrolment.toml", tomlkit.dumps(document), mode=0o644
    )
    return answer.fqdn


def address_of(manager_url: str) -> tuple[str, int]:
    """Return host and port; raises NotAnAddressError."""
    try:
        parts = urlsplit(manager_url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise NotAnAddressError(manager_url) from error
    if host is None or parts.scheme != "https":
        raise NotAnAddressError(manager_url)
    return host, port or DEFAULT_PORT
