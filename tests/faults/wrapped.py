"""A service that echoes, for a gateway to wrap: `wrapped.py PORT`, which the gateway's library moves."""

import pathlib
import socket
import sys

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))
import echo

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
echo.accept(listener)
