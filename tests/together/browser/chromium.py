"""A real Chromium that trusts one manager's key, and nothing else that is not public."""

from __future__ import annotations

import base64
import hashlib
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, sync_playwright

__all__ = ["chromium", "find_chromium", "key_pin"]

FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str | None:
    """Return where the system's Chromium is; None where it has none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def key_pin(data_dir: Path) -> str:
    """Return the hash of the key of a manager's certificate, as Chromium takes it."""
    text = (data_dir / "server" / "server.pem").read_bytes()
    certificate = x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN CERTIFICATE") :])
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


@contextmanager
def chromium(data_dir: Path) -> Generator[Browser, None, None]:
    """Run a browser that takes this manager's certificate for its key; every other check stays."""
    pin = f"--ignore-certificate-errors-spki-list={key_pin(data_dir)}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=[*FLAGS, pin], chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            browser.close()
