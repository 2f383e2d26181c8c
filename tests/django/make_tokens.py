"""Writes tokens.json: tokens of real Django and PyJWT, for tests that have no Python. Run by hand:

    tests/django/.venv/bin/python tests/django/make_tokens.py

The keys are new each time; of key pairs only the public half is written. test_tokens.py looks whether Django still
reads the tokens.
"""

import json
import time
from pathlib import Path
from unittest.mock import patch

import django
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.core import signing

FILE = Path(__file__).with_name("tokens.json")
MADE = 1_700_000_000
END = 4_102_444_800  # the year 2100
KEY = "a key of the site: ä"


def by_django(name: str, payload: object, *, salt: str = "sse", compress: bool = False) -> dict:
    token = signing.dumps(payload, key=KEY, salt=salt, compress=compress)
    return {"name": name, "key": KEY, "salt": salt, "token": token}


def pem(key, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    return key.public_key().public_bytes(Encoding.PEM, form).decode()


def main() -> None:
    settings.configure()
    rooms = [f"room-{number}" for number in range(20)]
    with patch.object(time, "time", return_value=MADE + 0.5):
        tokens = [
            by_django("plain", {"channels": ["user-42", "news"], "user": 42}),
            by_django("compressed", {"channels": rooms, "user": "zoë"}, compress=True),
            by_django("salted", {"channels": ["news"]}, salt="another salt"),
            by_django("no channels", {"user": 42}),
            by_django("inflated", {"channels": ["news"], "rest": "x" * 40_000}, compress=True),
            by_django("no object", ["news"]),
        ]
        bare = signing.Signer(key=KEY, salt="sse").sign("bare")
    pairs = {
        "RS256": rsa.generate_private_key(65537, 2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    claims = {"channels": ["user-42", "news"], "sub": "42", "exp": END, "iat": MADE}
    written = {
        "made": MADE,
        "end": END,
        "django_version": django.get_version(),
        "django": tokens,
        "bare": bare,
        "jwt": {
            name: {"key": pem(key), "token": jwt.encode(claims, key, algorithm=name)} for name, key in pairs.items()
        },
        "keys": {
            "RSA PUBLIC KEY": pem(pairs["RS256"], PublicFormat.PKCS1),
            "RSA 1024": pem(rsa.generate_private_key(65537, 1024)),
            "P-384": pem(ec.generate_private_key(ec.SECP384R1())),
        },
    }
    FILE.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
