"""Keys, and tokens made with them by jwcrypto, the library that the Python websockify reads tokens with.

    oracle.py DIRECTORY HOST PORT

writes key files into DIRECTORY and one line of JSON for each token to stdout: which key file is to read it, what it
is, and whether jwcrypto takes it, which is asked with that file, as the Python program would. Besides sound tokens
there is damage of every kind to each, and tokens for another key or by another algorithm than the key's.
"""

import base64
import datetime
import functools
import itertools
import json
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from jwcrypto import jwe, jwk, jws

DIRECTORY, HOST, PORT = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
CLAIMS = json.dumps({"host": HOST, "port": PORT})

RSA_SIGN = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
CONTENTS = ["A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512"]
KEY_BYTES = {"A128GCM": 16, "A192GCM": 24, "A256GCM": 32, "A128CBC-HS256": 32, "A192CBC-HS384": 48, "A256CBC-HS512": 64}

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, OPENSSL = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
SPKI, PKCS1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
PLAIN = serialization.NoEncryption()


def certificate(private):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    # Long expired: it only carries the key.
    start = datetime.datetime(2001, 1, 1)
    builder = x509.CertificateBuilder(name, name, private.public_key(), 1, start, start + datetime.timedelta(1))
    algorithm = None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(private, algorithm).public_bytes(PEM)


def files_of(name, private):
    """The same key in all forms, private ones first."""
    forms = {"pkcs8": private.private_bytes(PEM, PKCS8, PLAIN)}
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        forms["openssl"] = private.private_bytes(PEM, OPENSSL, PLAIN)
    public = {"spki": private.public_key().public_bytes(PEM, SPKI), "cert": certificate(private)}
    if isinstance(private, rsa.RSAPrivateKey):
        public["pkcs1"] = private.public_key().public_bytes(PEM, PKCS1)
    forms["text"] = b"# The key of the console.\n\n" + forms["pkcs8"]
    public["text-public"] = b"subject=CN = issuer\n" + public["spki"]
    both = [{}, {}]
    for kept, given in zip(both, (forms, public)):
        for form, content in given.items():
            kept[f"{name}-{form}"] = content
            (DIRECTORY / f"{name}-{form}").write_bytes(content)
    return list(both[0]), list(both[1])


def secret(name, size):
    key = jwk.JWK.generate(kty="oct", size=8 * size)
    (DIRECTORY / name).write_text(key.export(as_dict=True)["k"])
    return key


def sign(key, alg, payload=CLAIMS, **header):
    token = jws.JWS(payload)
    token.add_signature(key, None, json.dumps({"alg": alg, **header}))
    return token.serialize(compact=True)


def encrypt(key, alg, enc, content, **header):
    token = jwe.JWE(content, json.dumps({"alg": alg, "enc": enc, **header}))
    token.add_recipient(key)
    return token.serialize(compact=True)


@functools.cache
def read(file):
    content = (DIRECTORY / file).read_bytes()
    try:
        key = jwk.JWK()
        key.import_from_pem(content)
        return key
    except Exception:
        return jwk.JWK(kty="oct", k=content.decode())


def is_taken(file, token):
    """What the Python program does, except for its checks of times, and requiring a signature inside."""
    try:
        key = read(file)
        if token.count(".") == 4:
            opened = jwe.JWE()
            opened.deserialize(token, key)
            token = opened.payload.decode()
        verified = jws.JWS()
        verified.deserialize(token, key)
        return json.loads(verified.payload)["host"] == HOST
    except Exception:
        return False


def damaged(token):
    """The token with each part changed, cut, lengthened, emptied and left out."""
    parts = token.split(".")
    for at, part in enumerate(parts):
        def with_part(changed):
            return ".".join([*parts[:at], changed, *parts[at + 1 :]])

        for place in {0, len(part) // 2, max(0, len(part) - 3)}:
            if place < len(part):
                yield with_part(part[:place] + ("B" if part[place] != "B" else "C") + part[place + 1 :])
        yield with_part("")
        yield with_part(part[: len(part) // 2 // 4 * 4])
        yield with_part(part + "AAAA")
        yield ".".join(parts[:at] + parts[at + 1 :])
        for other, _ in enumerate(parts):
            if other != at and parts[other] != part:
                swapped = parts[:]
                swapped[at], swapped[other] = swapped[other], swapped[at]
                yield ".".join(swapped)
    yield token + "."
    yield token + ".AAAA"


def with_header(token, **changes):
    """The token with another header and the rest as it was."""
    first, rest = token.split(".", 1)
    header = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    header = {name: value for name, value in {**header, **changes}.items() if value is not None}
    return base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=") + "." + rest


def say(file, what, token):
    print(json.dumps({"key": file, "what": what, "token": token, "taken": is_taken(file, token)}))


def tried(files, others, what, token):
    """Valid with each of the files, and in no other way."""
    for file in files:
        say(file, what, token)
    for variant in sorted(set(damaged(token)) - {token}):
        say(files[0], f"{what}, damaged", variant)
    for alg in [*RSA_SIGN, "HS256", "HS384", "HS512", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "none", "RSA1_5",
                "RSA-OAEP", "RSA-OAEP-256", "A128KW", "A256KW", "dir", "ECDH-ES", "ECDH-ES+A256KW"]:
        variant = with_header(token, alg=alg)
        if variant != with_header(token):
            say(files[0], f"{what}, called {alg}", variant)
    for extra in ({"crit": ["exp"], "exp": 1}, {"zip": "DEF"}, {"enc": "A128GCM"}, {"enc": "A256CBC-HS512"}, {"epk": {}}):
        if with_header(token, **extra) != with_header(token):
            say(files[0], f"{what}, with {extra}", with_header(token, **extra))
    for file in others:
        say(file, f"{what}, for another key", token)


rsa_key, rsa_other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
keys = {"rsa": rsa_key, "rsa-large": rsa.generate_private_key(65537, 3072), "other": rsa_other}
curves = {"p256": (ec.SECP256R1(), "ES256"), "p384": (ec.SECP384R1(), "ES384"), "p521": (ec.SECP521R1(), "ES512"),
          "k1": (ec.SECP256K1(), "ES256K")}
keys.update({name: ec.generate_private_key(curve) for name, (curve, _) in curves.items()})
keys.update({"p256-other": ec.generate_private_key(ec.SECP256R1()), "ed25519": ed25519.Ed25519PrivateKey.generate()})
files = {name: files_of(name, private) for name, private in keys.items()}
jwks = {name: jwk.JWK.from_pem(private.private_bytes(PEM, PKCS8, PLAIN)) for name, private in keys.items()}
secrets = {size: secret(f"oct-{size}", size) for size in (16, 24, 32, 48, 64)}
others = ["rsa-pkcs8", "other-pkcs8", "p256-pkcs8", "p256-other-pkcs8", "ed25519-pkcs8", "oct-32", "oct-64"]


def others_than(name):
    return [file for file in others if not file.startswith(name + "-") or file.startswith(name + "-other")]


# Signed.
for name, algorithms in {"rsa": RSA_SIGN, "rsa-large": ["RS256", "PS512"], "ed25519": ["EdDSA", "Ed25519"],
                         **{name: [alg] for name, (_, alg) in curves.items()}}.items():
    for alg in algorithms:
        private, public = files[name]
        tried(private + public, others_than(name), f"{name} {alg}", sign(jwks[name], alg))
for size, alg in ((32, "HS256"), (48, "HS256"), (48, "HS384"), (64, "HS384"), (64, "HS512")):
    tried([f"oct-{size}"], [o for o in others if o != f"oct-{size}"], f"secret {alg}", sign(secrets[size], alg))

# Encrypted, and signed inside.
def sealed(name, alg, enc, inner, **header):
    private, public = files[name]
    token = encrypt(jwks[name], alg, enc, inner, **header)
    for file in private:
        say(file, f"{name} {alg} {enc}", token)
    for file in public + others_than(name):
        say(file, f"{name} {alg} {enc}, for another key", token)
    return token


for alg, enc in itertools.product(("RSA-OAEP", "RSA-OAEP-256"), CONTENTS):
    sealed("rsa", alg, enc, sign(jwks["rsa"], "PS256"))
for name, alg, enc in itertools.product(("p256", "p384", "p521"),
                                        ("ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW"), CONTENTS):
    inner = sign(jwks[name], curves[name][1])
    sealed(name, alg, enc, inner)
    if enc == "A128GCM":
        sealed(name, alg, enc, inner, apu="QWxpY2U", apv="Qm9i")
for name, alg in (("rsa", "RSA-OAEP"), ("p256", "ECDH-ES"), ("p256", "ECDH-ES+A192KW")):
    inner = sign(jwks[name], curves[name][1] if name in curves else "RS256")
    for enc in ("A256GCM", "A128CBC-HS256"):
        token = encrypt(jwks[name], alg, enc, inner)
        tried(files[name][0], files[name][1], f"{name} {alg} {enc}", token)
        # Whoever has the public key can make these.
        for what, content in (("nothing", CLAIMS), ("another key", sign(jwks["other"], "RS256")),
                              ("itself", encrypt(jwks[name], alg, enc, inner))):
            say(files[name][0][0], f"{name} {alg} {enc}, signed by {what}", encrypt(jwks[name], alg, enc, content))
for enc in CONTENTS:
    size = KEY_BYTES[enc]
    if size >= 32:
        inner = sign(secrets[size], "HS256")
        tried([f"oct-{size}"], [o for o in others if o != f"oct-{size}"], f"dir {enc}",
              encrypt(secrets[size], "dir", enc, inner))
    tried(["oct-32"], [o for o in others if o != "oct-32"], f"A256KW {enc}",
          encrypt(secrets[32], "A256KW", enc, sign(secrets[32], "HS256")))

# Secrets that sign nothing because they are too short; what they encrypt is compared alone.
for size, alg in ((16, "A128KW"), (24, "A192KW"), (32, "A256KW")):
    for enc in CONTENTS:
        token = encrypt(secrets[size], alg, enc, "the content")
        print(json.dumps({"key": f"oct-{size}", "what": f"{alg} {enc}", "token": token, "content": "the content"}))
for size, enc in ((16, "A128GCM"), (24, "A192GCM")):
    token = encrypt(secrets[size], "dir", enc, "the content")
    print(json.dumps({"key": f"oct-{size}", "what": f"dir {enc}", "token": token, "content": "the content"}))
for length in (*range(0, 34), 1000):
    content = "x" * length
    for name, alg, enc in (("rsa", "RSA-OAEP", "A192CBC-HS384"), ("p384", "ECDH-ES", "A192GCM")):
        token = encrypt(jwks[name], alg, enc, content)
        print(json.dumps({"key": f"{name}-pkcs8", "what": f"{length} bytes", "token": token, "content": content}))
