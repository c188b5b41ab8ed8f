"""Plugin classes as people write them for the Python program, each in the style of some that are in public use."""

import base64
import binascii
import hashlib
import hmac
import re
import sqlite3
import time

from websockify.auth_plugins import AuthenticationError, InvalidOriginError
from websockify.auth_plugins import BasePlugin as AuthPlugin
from websockify.token_plugins import BasePlugin as TokenPlugin


class Database(TokenPlugin):
    """A table of machines in SQLite, opened for each lookup."""

    def lookup(self, token):
        with sqlite3.connect(self.source) as database:
            rows = database.execute("SELECT host, port FROM consoles WHERE token = ?", (token,))
            return rows.fetchone()


class Address(TokenPlugin):
    """The token is host and port in base64: no table at all."""

    def lookup(self, token):
        try:
            host, port = base64.urlsafe_b64decode(token + "==").decode("utf-8").split(":")
        except (binascii.Error, ValueError):
            print("not an address:", token)
            return None
        return [host, int(port)]


class Signed(TokenPlugin):
    """The token is signed, and has an expiry time."""

    def __init__(self, src):
        super().__init__(src)
        self.key = src.encode("utf-8")

    def lookup(self, token):
        text, _, signature = token.rpartition(".")
        wanted = hmac.new(self.key, text.encode("utf-8"), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted, signature):
            return None
        host, port, until = text.split(",")
        return (host, port) if time.time() < int(until) else None


class Cookie(AuthPlugin):
    """A session of the site's own login; clients without one are redirected there."""

    def authenticate(self, headers, target_host, target_port):
        found = re.search(r"(?:^|; )session=(\w+)", headers.get("Cookie", ""))
        if not found or found.group(1) != self.source:
            raise AuthenticationError(
                log_msg="no session", response_code=302, response_headers={"Location": "/login?next=vnc"}
            )


class Tenants(AuthPlugin):
    """Passwords, and for each user their own targets."""

    def __init__(self, src=None):
        self.users = dict(line.split("=") for line in src.split(";"))

    def authenticate(self, headers, target_host, target_port):
        scheme, _, text = headers.get("authorization", "").partition(" ")
        if scheme != "Basic":
            realm = {"WWW-Authenticate": 'Basic realm="consoles"'}
            raise AuthenticationError("no credentials", 401, realm, "Who are you?")
        credentials = base64.b64decode(text).decode("utf-8")
        if credentials not in self.users:
            raise AuthenticationError(response_msg="Go away", log_msg="unknown user " + credentials.split(":")[0])
        if target_port is not None and "%s:%d" % (target_host, target_port) != self.users[credentials]:
            raise AuthenticationError("not his target")


class Pages(AuthPlugin):
    """Pages by a pattern."""

    def authenticate(self, headers, target_host, target_port):
        origin = headers.get("Origin")
        if origin is None or not re.match(self.source, origin):
            raise InvalidOriginError(expected=self.source, actual=origin)
