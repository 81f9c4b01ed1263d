"""What a browser keeps for the page, as gradio's BrowserState writes it: encrypted with a secret that is on the page."""

import base64
import hashlib

from playwright.sync_api import Page

DIALOGUE, RATER = "cria-dialogue", "cria-rater"
SECRET = "cria"
SALT = b"saltsalt"
ENCRYPT = """async ([key, iv, text]) => {
  const bytes = hex => new Uint8Array(hex.match(/../g).map(pair => parseInt(pair, 16)));
  const imported = await crypto.subtle.importKey('raw', bytes(key), 'AES-CBC', false, ['encrypt']);
  const made = await crypto.subtle.encrypt({name: 'AES-CBC', iv: bytes(iv)}, imported, new TextEncoder().encode(text));
  return [...new Uint8Array(made)];
}"""


def sealed(page: Page, text: str) -> str:
    """Returns JSON as the browser would keep it (OpenSSL's format, which crypto-js writes)."""
    passphrase, last, material = hashlib.sha256(SECRET.encode()).hexdigest().encode(), b"", b""
    while len(material) < 48:
        last = hashlib.md5(last + passphrase + SALT).digest()
        material += last
    made = bytes(page.evaluate(ENCRYPT, [material[:32].hex(), material[32:48].hex(), text]))
    return f"{base64.b64encode(bytes(16)).decode()}:{base64.b64encode(b'Salted__' + SALT + made).decode()}"


def put(page: Page, key: str, kept: str) -> None:
    page.evaluate("([key, kept]) => localStorage.setItem(key, kept)", [key, kept])


def get(page: Page, key: str) -> str | None:
    return page.evaluate("key => localStorage.getItem(key)", key)
