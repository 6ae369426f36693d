"""Signing in and out: every way in, what is refused, and when a login ends (R29)."""

from __future__ import annotations

import pytest

from emf_manager.api.account_book import new_api_token
from emf_manager.login_records import Login
from emf_manager.logins.book import new_login_code
from emf_manager.logins.passwords import hash_password
from emf_manager.logins.rules import ABSOLUTE_S, COOKIE, IDLE_S, LINK_S
from emf_manager.records import hash_secret
from tests.manager.web.conftest import NOTE, Site

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"


async def test_a_stranger_is_sent_to_the_door_and_from_there_to_where_they_wanted(
    site: Site,
) -> None:
    browser = site.browser()

    turned_away = await browser.get("/ui/account?x=1")
    door = await browser.get(turned_away.headers["location"])
    let_in = await browser.send_form("/ui/login", token="admin-token", next="/ui/account?x=1")

    assert turned_away.status_code == 303
    assert 'value="/ui/account?x=1"' in door.text
    assert let_in.headers["location"] == "/ui/account?x=1"
    assert (await browser.get("/ui/account")).status_code == 200


@pytest.mark.parametrize(
    "where",
    [
        "https://evil.example",
        "//evil.example",
        "/ui//evil.example",
        "/\\evil",
        "/api/v1/me",
        "/ui/\n",
    ],
)
async def test_signing_in_leads_nowhere_but_to_our_pages(site: Site, where: str) -> None:
    answer = await site.browser().send_form("/ui/login", token="admin-token", next=where)

    assert answer.headers["location"] == "/ui/"


async def test_the_cookie_is_bound_to_host_tls_and_site(site: Site) -> None:
    answer = await site.browser().sign_in()

    kept = answer.headers["set-cookie"]
    name, _, rest = kept.partition("=")
    assert name == COOKIE
    assert name.startswith("__Host-")
    attributes = {part.strip().lower() for part in rest.split(";")[1:]}
    assert {"secure", "httponly", "samesite=strict", "path=/"} <= attributes
    assert not any(one.startswith("domain") for one in attributes)


async def test_a_new_login_gets_a_new_secret_and_ends_the_old_one(site: Site) -> None:
    browser = site.browser()
    await browser.sign_in()
    first = browser.secret
    await browser.sign_in()

    assert browser.secret != first
    assert first is not None
    assert await site.book.visit(first) is None


async def test_a_secret_that_somebody_else_chose_is_never_taken(site: Site) -> None:
    browser = site.browser()
    browser.cookies.set(COOKIE, "chosen-by-another", domain="manager.example.com")

    answer = await browser.sign_in()

    assert "chosen-by-another" not in answer.headers["set-cookie"]


async def test_a_password_signs_in_and_a_wrong_one_or_name_does_not(site: Site) -> None:
    await site.store.logins.set_password(
        "viewer", hash_password(PASSWORD, log2_n=4), at=site.times.wall, audit=NOTE
    )

    wrong = await site.browser().send_form("/ui/login", user="viewer", password="wrong")
    nobody = await site.browser().send_form("/ui/login", user="nobody", password=PASSWORD)
    right = await site.browser().send_form("/ui/login", user="viewer", password=PASSWORD)

    assert (wrong.status_code, nobody.status_code, right.status_code) == (401, 401, 303)
    assert wrong.text.replace("viewer", "") == nobody.text.replace("nobody", "")
    assert PASSWORD not in wrong.text


async def test_a_link_signs_in_once(site: Site) -> None:
    code, kept = new_login_code("operator", now=site.times.wall, created_by="test")
    assert await site.store.logins.add_code(kept, audit=NOTE)

    first = await site.browser().send_form("/ui/login", code=code)
    second = await site.browser().send_form("/ui/login", code=code)

    assert (first.status_code, second.status_code) == (303, 401)


async def test_a_link_is_over_after_ten_minutes(site: Site) -> None:
    code, kept = new_login_code("operator", now=site.times.wall, created_by="test", ttl_s=9e9)
    assert await site.store.logins.add_code(kept, audit=NOTE)
    site.times.pass_by(LINK_S)

    assert (await site.browser().send_form("/ui/login", code=code)).status_code == 401


async def test_wrong_tries_have_to_wait(site: Site) -> None:
    statuses = [
        (await site.browser().send_form("/ui/login", token="guess")).status_code for _ in range(11)
    ]
    right = await site.browser().send_form("/ui/login", token="admin-token")
    site.times.pass_by(61)
    later = await site.browser().send_form("/ui/login", token="admin-token")

    assert statuses == [*[401] * 10, 429]
    assert right.status_code == 429
    assert int(right.headers["retry-after"]) <= 61
    assert later.status_code == 303


async def test_a_login_ends_when_it_is_not_used(site: Site) -> None:
    browser = site.browser()
    await browser.sign_in()
    for _ in range(3):
        site.times.pass_by(IDLE_S - 1)
        assert (await browser.get("/ui/account")).status_code == 200
    site.times.pass_by(IDLE_S)

    assert (await browser.get("/ui/account")).status_code == 303


async def test_a_login_ends_after_half_a_day_however_much_it_is_used(site: Site) -> None:
    browser = site.browser()
    await browser.sign_in()
    passed = 0.0
    while passed < ABSOLUTE_S:
        assert (await browser.get("/ui/account")).status_code == 200
        site.times.pass_by(IDLE_S / 2)
        passed += IDLE_S / 2

    assert (await browser.get("/ui/account")).status_code == 303


async def test_signing_out_ends_the_login_in_the_store(site: Site) -> None:
    browser = site.browser()
    await browser.sign_in()
    secret = browser.secret
    assert secret is not None

    out = await browser.press("/ui/logout")

    assert out.status_code == 303
    assert await site.book.visit(secret) is None
    assert browser.secret is None


async def test_disabling_a_user_ends_their_logins_at_once(site: Site) -> None:
    browser = site.browser()
    await browser.sign_in("operator")

    await site.store.disable_user("operator", at=site.times.wall, audit=NOTE)

    assert (await browser.get("/ui/")).status_code == 303
    assert (await site.browser().send_form("/ui/login", token="operator-token")).status_code == 401


async def test_a_login_by_a_token_ends_with_the_token(site: Site) -> None:
    _, token = new_api_token("viewer", now=site.times.wall)
    await site.store.add_token(token, audit=NOTE)
    now = site.times.wall
    login = Login("l1", hash_secret("s"), "viewer", "token", now, now + 900, now, token.id)
    assert await site.store.logins.add_login(login, audit=NOTE)
    before = await site.book.visit("s")

    await site.store.revoke_token(token.id, at=now, audit=NOTE)

    assert before is not None
    assert await site.book.visit("s") is None


async def test_a_new_password_ends_every_login(site: Site) -> None:
    browser = site.browser()
    await browser.sign_in("viewer")

    await site.store.logins.set_password("viewer", "scrypt$…", at=site.times.wall, audit=NOTE)

    assert (await browser.get("/ui/")).status_code == 303


async def test_signing_in_and_out_and_failing_is_audited_without_secrets(site: Site) -> None:
    browser = site.browser()
    await browser.send_form("/ui/login", token="a-guessed-token")
    await browser.sign_in()
    secret = browser.secret or ""
    await browser.press("/ui/logout")

    lines = [link.entry for link in await site.store.audit_trail() if link.entry.actor != "test"]
    assert [(line.actor, line.what, line.outcome) for line in lines] == [
        ("stranger", "sign in", "refused"),
        ("user:admin", "sign in", "ok"),
        ("user:admin", "sign out", "ok"),
    ]
    assert not any(word in str(lines) for word in ("a-guessed-token", "admin-token", secret))


async def test_a_link_from_another_site_finds_somebody_who_is_signed_in(site: Site) -> None:
    """Their cookie is not sent with it: the page asks to be loaded once more, from here."""
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}

    between = await site.browser().get("/ui/account", headers=elsewhere)

    assert between.status_code == 200
    assert 'content="0; url=/ui/account"' in between.text


async def test_somebody_sees_where_they_are_signed_in_and_ends_another_login(site: Site) -> None:
    lost, here, other = site.browser(), site.browser(), site.browser()
    await lost.sign_in()
    await here.sign_in()
    await other.sign_in("viewer")
    (old,) = [
        one
        for one in await site.book.logins("admin")
        if one.secret_sha256 != hash_secret(here.secret or "")
    ]

    foreign = await other.press(f"/ui/account/logins/{old.id}/end")
    shown = (await here.get("/ui/account")).text
    ended = await here.press(f"/ui/account/logins/{old.id}/end")

    assert foreign.status_code == 404
    assert f"/ui/account/logins/{old.id}/end" in shown
    assert ended.headers["location"] == "/ui/account"
    assert (await lost.get("/ui/")).status_code == 303
    assert (await here.get("/ui/")).status_code == 200
