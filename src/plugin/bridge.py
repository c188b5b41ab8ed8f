"""Lets a websockify plugin class answer, one JSON line for each. docs/plugins.md has the protocol."""

import importlib.machinery
import json
import os
import sys
import traceback
from http.client import HTTPMessage


class StandIns:
    """Finds what plugins import of the websockify package, where that is not installed."""

    NAMES = ("websockify", "websockify.token_plugins", "websockify.auth_plugins")

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name not in cls.NAMES:
            return None
        return importlib.machinery.ModuleSpec(name, cls, is_package=name == "websockify")

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        if module.__name__ == "websockify.token_plugins":
            module.BasePlugin = TokenBase
        elif module.__name__ == "websockify.auth_plugins":
            module.BasePlugin = AuthBase
            module.AuthenticationError = Refusal
            module.InvalidOriginError = WrongOrigin


class TokenBase:
    def __init__(self, src):
        self.source = src

    def lookup(self, token):
        return None


class AuthBase:
    def __init__(self, src=None):
        self.source = src

    def authenticate(self, headers, target_host, target_port):
        pass


class Refusal(Exception):
    def __init__(self, log_msg=None, response_code=403, response_headers={}, response_msg=None):
        super().__init__("%s %s" % (response_code, log_msg))
        self.code = response_code
        self.headers = response_headers
        self.msg = response_msg


class WrongOrigin(Refusal):
    def __init__(self, expected, actual):
        self.expected_origin = expected
        self.actual_origin = actual
        text = "Invalid Origin Header: Expected one of %s, got '%s'" % (expected, actual)
        super().__init__(response_msg="Invalid Origin", log_msg=text)


for stand_in, place in ((TokenBase, "token"), (AuthBase, "auth"), (Refusal, "auth"), (WrongOrigin, "auth")):
    stand_in.__module__ = "websockify.%s_plugins" % place
TokenBase.__name__ = AuthBase.__name__ = "BasePlugin"
Refusal.__name__ = "AuthenticationError"
WrongOrigin.__name__ = "InvalidOriginError"


class Bridge:
    def __init__(self):
        self.plugin = None

    def hello(self, request):
        module, _, name = request["class"].rpartition(".")
        __import__(module)
        self.plugin = getattr(sys.modules[module], name)(request["source"])
        if request["directory"] is not None:
            os.chdir(request["directory"])
        return {}

    def lookup(self, request):
        found = self.plugin.lookup(request["token"])
        if found is None:
            return {"target": None}
        host, port = found
        return {"target": [host, port]}

    def authenticate(self, request):
        headers = HTTPMessage()
        for name, value in request["headers"]:
            headers[name] = value
        try:
            self.plugin.authenticate(
                headers=headers, target_host=request["target_host"], target_port=request["target_port"]
            )
        except Exception as error:
            # Whoever raises one has imported it.
            known = getattr(sys.modules.get("websockify.auth_plugins"), "AuthenticationError", ())
            if not isinstance(error, known):
                raise
            more = dict(getattr(error, "headers", None) or {})
            return {
                "admitted": False,
                "code": getattr(error, "code", 403),
                "headers": [[str(name), str(value)] for name, value in more.items()],
                "msg": getattr(error, "msg", None),
                "log_msg": str(error),
            }
        return {"admitted": True}

    def answer(self, request):
        try:
            answer = getattr(self, request["method"])(request)
            answer["id"] = request["id"]
            return json.dumps(answer)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            return json.dumps({"id": request["id"], "error": "%s: %s" % (type(error).__name__, error)})


def main():
    # Copies that no program inherits which the plugin starts. What the plugin prints goes to standard error.
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # This program is no file, and has no folder to find modules in.
    sys.path[:] = [folder for folder in sys.path if folder] + [os.getcwd()]
    sys.argv[:] = ["websockify"]
    sys.meta_path.append(StandIns)
    bridge = Bridge()
    for line in requests:
        answers.write(bridge.answer(json.loads(line.decode("ascii"))).encode("ascii") + b"\n")


try:
    main()
except (BrokenPipeError, KeyboardInterrupt):
    pass
finally:
    # Not held up by the plugin's threads.
    sys.stderr.flush()
    os._exit(0)
