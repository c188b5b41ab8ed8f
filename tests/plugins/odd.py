"""Plugin classes that do what none should do, and one that reports what it finds."""

import os
import sys
import time

from websockify.auth_plugins import AuthenticationError
from websockify.auth_plugins import BasePlugin as AuthPlugin
from websockify.token_plugins import BasePlugin as TokenPlugin


class Trouble(TokenPlugin):
    def lookup(self, token):
        word = token.partition("-")[0]
        if word == "hang":
            time.sleep(1000)
        elif word == "child":
            os.system("sleep 1000")
        elif word == "die":
            os._exit(5)
        elif word == "abort":
            os.abort()
        elif word == "exit":
            sys.exit(3)
        elif word == "raise":
            raise RuntimeError("there is no %s here" % token)
        elif word == "flood":
            while True:
                os.write(2, b"x" * 60 + b"\n")
        elif word == "lines":
            for number in range(1000):
                print("line", number, token)
        elif word == "write":
            # Nothing printed ends up among the answers, and nothing read comes from the questions.
            os.write(1, b'{"id":2,"target":["127.0.0.1",1]}\n')
            print("read:", repr(sys.stdin.read()))
        elif word == "text":
            return "localhost"
        elif word == "name":
            return ("localhost", int(self.source))
        return ("127.0.0.1", int(self.source))


class Start(TokenPlugin):
    def lookup(self, token):
        with open("/proc/self/status") as status:
            lines = dict(line.split(":", 1) for line in status)
        print("blocked", lines["SigBlk"].strip(), "ignored", lines["SigIgn"].strip(), "group", os.getpgrp() == os.getpid())
        folder = "/proc/self/fd"
        mine = [fd for fd in os.listdir(folder) if os.path.exists(os.path.join(folder, fd))]
        print("inherited", sorted(fd for fd in map(int, mine) if os.get_inheritable(fd)), "all", len(mine))
        names = sorted(name for name in os.environ if name.split("_")[0] in ("LISTEN", "NOTIFY", "WATCHDOG", "MINE"))
        print("variables", names, "folder", os.getcwd(), "soft", os.popen("ulimit -Sn").read().strip())


class Denied(AuthPlugin):
    def authenticate(self, headers, target_host, target_port):
        raise KeyError(headers["Authorization"])


class Certificate(AuthPlugin):
    def authenticate(self, headers, target_host, target_port):
        told = [field for field in headers.items() if field[0].lower().startswith("ssl_")]
        raise AuthenticationError(log_msg="told", response_msg=ascii(told))


class Slow(AuthPlugin):
    def __init__(self, src):
        time.sleep(1000)


class NoArgument:
    def __init__(self):
        pass
