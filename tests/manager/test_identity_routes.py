"""Enrolment, renewal and removal as they come in over HTTP (requirements R8, R10 to R13, R16)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from cryptography import x509
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from emf_agent.wire import EnrolAnswer, EnrolmentToken
from emf_manager.identity.authorities import Authorities
from emf_manager.identity.authority import Authority, open_authority
from emf_manager.identity.grants import new_grant
from emf_manager.identity.membership import Membership
from emf_manager.identity.peer import Peer, attach_peer
from emf_manager.identity.registrar import Registrar
from emf_manager.identity.routes import MAX_BODY, identity_routes
from emf_manager.records import NewAudit
from emf_manager.store.interface import Store, StoreFullError
from emf_manager.store.sql import open_store
from tests.manager.identity_kit import CSR, RecordingFleet, csr, ec_key

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0
DAY = 86400.0
NAME = "oss1.example.com"
NOTE = NewAudit(NOW, "test", "test")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the store works in threads


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return open_authority(tmp_path_factory.mktemp("data") / "authority", now=NOW)


@dataclass
class Office:
    """The routes over a real store, a clock of ours, and clients at any address."""

    store: Store
    authority: Authority
    fleet: RecordingFleet = field(default_factory=RecordingFleet)
    now: float = NOW

    def __post_init__(self) -> None:
        self.membership = Membership(
            self.store, self.fleet, wall=lambda: self.now, look_every_s=0.01
        )
        registrar = Registrar(
            self.store, lambda: Authorities(self.authority), self.membership, wall=lambda: self.now
        )
        self.app = Starlette(routes=identity_routes(registrar))

    async def post(
        self, path: str, *, peer: Peer | None = None, address: str = "192.0.2.1", **body: Any
    ) -> httpx.Response:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            attach_peer(scope, peer)
            await self.app(scope, receive, send)

        transport = httpx.ASGITransport(app, client=(address, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="https://manager") as client:
            return await client.post(path, **body)

    async def token(self, **options: Any) -> EnrolmentToken:
        token, grant = new_grant(
            self.authority.fingerprint, now=self.now, created_by="test", **options
        )
        await self.store.add_grant(grant, audit=NOTE)
        return token

    async def enrol(
        self, token: EnrolmentToken | str, fqdn: str = NAME, pem: str = CSR, **options: Any
    ) -> httpx.Response:
        secret = token if isinstance(token, str) else token.secret
        asked = {"token": secret, "fqdn": fqdn, "csr": pem, "agent_version": "0.1.0"}
        return await self.post("/enrol/", json=asked, **options)

    async def audited(self) -> list[tuple[str, str | None, str, Any]]:
        trail = await self.store.audit_trail()
        lines = [link.entry for link in trail if link.entry.actor.startswith("peer:")]
        return [(line.what, line.subject, line.outcome, line.detail) for line in lines]


def peer_in(response: httpx.Response) -> Peer:
    """Return who the certificate of an answer is."""
    answer = EnrolAnswer.model_validate_json(response.content)
    certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
    until = certificate.not_valid_after_utc.timestamp()
    return Peer(answer.fqdn, f"{certificate.serial_number:X}", until)


@pytest.fixture
async def office(authority: Authority) -> AsyncGenerator[Office, None]:
    async with open_store("sqlite://") as store:
        office = Office(store, authority)
        await office.membership.start()
        yield office


async def test_a_token_makes_a_node(office: Office) -> None:
    token = await office.token(role="oss", pattern="oss[1-4].example.com")
    response = await office.enrol(token, "OSS1.example.com")

    assert response.status_code == 201
    answer = EnrolAnswer.model_validate_json(response.content)
    assert (answer.fqdn, answer.authority) == (NAME, office.authority.pem)
    issued = x509.load_pem_x509_certificate(answer.certificate.encode())
    issued.verify_directly_issued_by(office.authority.certificate)
    node = await office.store.node(NAME)
    assert node is not None
    assert (node.state, node.role) == ("new", "oss")
    assert office.fleet.told == [("enrolled", NAME)]
    assert [line[:3] for line in await office.audited()] == [("enrol", NAME, "ok")]
    assert office.membership.refusal(peer_in(response)) is None


async def test_a_lost_answer_is_given_again_to_the_same_key_only(office: Office) -> None:
    token = await office.token()
    first = await office.enrol(token)
    again = await office.enrol(token)
    other = await office.enrol(token, pem=csr())

    assert (again.status_code, again.json()) == (201, first.json())
    assert other.status_code == 403
    assert len(await office.store.certificates()) == 1


@pytest.mark.parametrize("fault", ["unknown", "used up", "expired", "revoked"])
async def test_a_guesser_learns_nothing_and_the_audit_trail_everything(
    office: Office, fault: str
) -> None:
    token: EnrolmentToken | str = await office.token()
    match fault:
        case "unknown":
            token = "x" * 43
        case "used up":
            await office.enrol(token, "other.example.com")
        case "expired":
            office.now += 3601
        case "revoked":
            (grant,) = await office.store.grants()
            await office.store.revoke_grant(grant.id, at=NOW, audit=NOTE)

    refused = await office.enrol(token, pem=csr())

    assert refused.status_code == 403
    assert refused.text == (
        "the token is not valid: unknown, used up, expired or revoked; make a new one"
    )
    assert fault.split(maxsplit=1)[0] in str((await office.audited())[-1])


async def test_the_holder_of_a_good_token_is_told_what_is_wrong(office: Office) -> None:
    token = await office.token(pattern="oss*")
    refusals = [
        await office.enrol(token, "mds1.example.com"),
        await office.enrol(token, "oss 1"),
        await office.enrol(token, pem="no csr"),
    ]
    assert [(one.status_code, one.text) for one in refusals] == [
        (403, "the token is for oss*, which mds1.example.com is not in"),
        (400, "'oss 1' is not a host name"),
        (400, "the signing request cannot be read; it must be PEM"),
    ]
    assert (await office.enrol(token)).status_code == 201


async def test_a_live_name_needs_its_key_or_a_replacing_token(office: Office) -> None:
    key = ec_key()
    first = peer_in(await office.enrol(await office.token(), pem=csr(key)))

    taken = await office.enrol(await office.token(), pem=csr())
    assert taken.status_code == 409
    assert "--replace" in taken.text
    assert office.membership.refusal(first) is None

    own_key = peer_in(await office.enrol(await office.token(), pem=csr(key)))
    assert office.membership.is_revoked(first.serial)
    replaced = peer_in(await office.enrol(await office.token(replace=True), pem=csr()))
    assert office.membership.is_revoked(own_key.serial)
    assert office.membership.refusal(replaced) is None
    assert office.fleet.told == [("enrolled", NAME)] * 3


async def test_fifty_at_once_with_one_token_are_one_node(office: Office) -> None:
    token = await office.token()
    statuses: list[int] = []

    async def try_it(number: int) -> None:
        response = await office.enrol(token, f"n{number}", csr(), address=f"10.0.0.{number}")
        statuses.append(response.status_code)

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(try_it, number)

    assert sorted(statuses) == [201] + [403] * 49
    assert len(await office.store.nodes()) == 1


async def test_an_address_that_guesses_has_to_wait_and_others_do_not(office: Office) -> None:
    token = await office.token()
    statuses = [(await office.enrol("x" * 43)).status_code for _ in range(11)]
    assert statuses == [403] * 10 + [429]
    blocked = await office.enrol(token)
    assert blocked.status_code == 429
    assert 0 < int(blocked.headers["retry-after"]) <= 60
    assert (await office.enrol(token, address="192.0.2.2")).status_code == 201


async def test_no_secret_reaches_log_audit_or_answer(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = await office.token()
    answers = [
        await office.enrol(token),
        await office.enrol(token, pem=csr()),
        await office.enrol("y" * 43),
        await office.post("/enrol/", json={"token": token.secret, "fqdn": 7}),
    ]
    seen = caplog.text + str(await office.store.audit_trail()) + "".join(a.text for a in answers)
    seen += str(await office.store.grants())
    assert token.secret not in seen
    assert "y" * 43 not in seen


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"content": b""}, 400, "message: Invalid JSON"),
        ({"content": b"{"}, 400, "message: Invalid JSON"),
        ({"content": b"\xff\xfe"}, 400, "message: Invalid JSON"),
        ({"content": b"[" * 5000}, 400, "message: Invalid JSON"),
        ({"json": {"token": "x"}}, 400, "csr: Field required"),
        ({"json": {"csr": {}}}, 400, "csr: Input should be a valid string"),
        ({"content": b"x" * (MAX_BODY + 1)}, 413, f"more than {MAX_BODY} bytes"),
        ({"content": b"x", "headers": {"content-encoding": "gzip"}}, 400, "compressed"),
    ],
    ids=["empty", "cut", "not UTF-8", "deep", "partial", "types", "large", "gzip"],
)
@pytest.mark.parametrize("path", ["/enrol/", "/renew/"])
async def test_a_bad_body_is_refused_with_the_reason(
    office: Office, path: str, body: dict[str, Any], status: int, says: str
) -> None:
    response = await office.post(path, **body)
    assert response.status_code == status
    assert says in response.text


async def test_a_name_too_long_for_the_wire_is_refused(office: Office) -> None:
    response = await office.enrol(await office.token(), "n" * 300)
    assert (response.status_code, "fqdn: " in response.text) == (400, True)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post_is_taken(office: Office, method: str) -> None:
    transport = httpx.ASGITransport(office.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://manager") as client:
        assert (await client.request(method, "/enrol/")).status_code == 405


async def test_a_full_store_is_no_refusal(authority: Authority) -> None:
    class Full:
        async def find_grant(self, _: str) -> None:
            raise StoreFullError("the store")

    store: Any = Full()
    response = await Office(store, authority).enrol("x" * 43)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"


# Renewal


async def test_a_node_renews_under_its_own_name(office: Office) -> None:
    old = peer_in(await office.enrol(await office.token()))
    office.now += 60 * DAY
    renewed = await office.post("/renew/", json={"csr": csr(name="mgs", hostile=True)}, peer=old)

    assert renewed.status_code == 201
    new = peer_in(renewed)
    assert (new.fqdn, new.serial != old.serial) == (NAME, True)
    assert new.not_after > old.not_after
    assert office.membership.refusal(old) is None
    assert (await office.audited())[-1][:3] == ("renew", NAME, "ok")


async def test_renewal_needs_a_certificate(office: Office) -> None:
    refused = await office.post("/renew/", json={"csr": CSR})
    assert (refused.status_code, "certificate" in refused.text) == (401, True)


async def test_an_expired_certificate_renews_nothing(office: Office) -> None:
    peer = peer_in(await office.enrol(await office.token()))
    office.now += 91 * DAY
    refused = await office.post("/renew/", json={"csr": CSR}, peer=peer)
    assert (refused.status_code, "expired" in refused.text) == (403, True)


async def test_a_certificate_of_ours_for_a_name_we_lost_renews_nothing(office: Office) -> None:
    refused = await office.post("/renew/", json={"csr": CSR}, peer=Peer("gone", "AA", NOW + DAY))
    assert (refused.status_code, "not a node" in refused.text) == (403, True)


async def test_renewing_without_end_is_stopped(office: Office) -> None:
    peer = peer_in(await office.enrol(await office.token()))
    statuses = [
        (await office.post("/renew/", json={"csr": CSR}, peer=peer)).status_code for _ in range(17)
    ]
    assert statuses == [201] * 15 + [429] * 2


# Removal


async def test_a_removed_node_is_out_at_once_whoever_removed_it(office: Office) -> None:
    peer = peer_in(await office.enrol(await office.token()))
    office.fleet.told.clear()
    # An admin command does this, in a process of its own.
    await office.store.remove_node(NAME, at=office.now, reason="scrapped", audit=NOTE)
    await office.membership.look()
    await office.membership.look()

    assert office.fleet.told == [("removed: scrapped", NAME)]
    assert office.membership.is_revoked(peer.serial)
    refused = await office.post("/renew/", json={"csr": CSR}, peer=peer)
    assert (refused.status_code, "revoked" in refused.text) == (403, True)

    back = await office.enrol(await office.token(), pem=csr())
    assert back.status_code == 201
    assert office.fleet.told[1:] == [("enrolled", NAME)]
    assert office.membership.is_revoked(peer.serial)


async def test_a_revoked_node_is_refused_everywhere_and_may_be_enrolled_again(
    office: Office,
) -> None:
    peer = peer_in(await office.enrol(await office.token()))
    office.fleet.told.clear()
    await office.store.revoke_node(NAME, at=office.now, reason="stolen", audit=NOTE)
    await office.membership.look()

    assert office.fleet.told == [("nudged", NAME)]
    assert "revoked" in str(office.membership.refusal(peer))
    refused = await office.post("/renew/", json={"csr": CSR}, peer=peer)
    assert (refused.status_code, "revoked" in refused.text) == (403, True)
    back = peer_in(await office.enrol(await office.token(), pem=csr()))
    assert office.membership.refusal(back) is None


async def test_a_node_that_waits_may_neither_speak_nor_renew(office: Office) -> None:
    peer = peer_in(await office.enrol(await office.token(approval=True)))

    assert "emf node approve" in str(office.membership.refusal(peer))
    refused = await office.post("/renew/", json={"csr": CSR}, peer=peer)
    assert (refused.status_code, "waits for approval" in refused.text) == (403, True)
    again = Membership(office.store, office.fleet, wall=lambda: office.now)
    await again.start()
    assert again.refusal(peer) is not None

    await office.store.approve_node(NAME, at=office.now, audit=NOTE)
    await office.membership.look()
    assert office.membership.refusal(peer) is None


async def test_a_manager_that_starts_again_knows_what_is_revoked(office: Office) -> None:
    peer = peer_in(await office.enrol(await office.token()))
    await office.store.remove_node(NAME, at=office.now, reason="scrapped", audit=NOTE)
    again = Membership(office.store, office.fleet, wall=lambda: office.now)
    await again.start()
    assert again.is_revoked(peer.serial)


async def test_watching_sees_a_removal_and_survives_a_store_that_fails(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    bounds = office.store.event_bounds
    failures = [StoreFullError("the store")]

    async def sometimes() -> tuple[int, int]:
        if failures:
            raise failures.pop()
        return await bounds()

    peer = peer_in(await office.enrol(await office.token()))
    await office.store.remove_node(NAME, at=office.now, reason="gone", audit=NOTE)
    office.store.event_bounds = sometimes  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(office.membership.watch)
        with anyio.fail_after(20):
            while not office.membership.is_revoked(peer.serial):
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert "trying again" in caplog.text


def test_the_authority_is_apart_from_the_database(tmp_path: Path) -> None:
    from emf_manager.settings import Settings

    settings = Settings(tmp_path)
    assert str(settings.authority_dir) not in settings.store_url
