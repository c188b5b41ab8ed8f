"""Starts a gateway and checks that it relays: relay.py [--page TEXT] [--launcher] COMMAND...

It runs in a network of its own, where the command has to listen on port 6080 and to lead to port 5900, on which this
echoes. With --page, what port 6080 answers for /vnc.html has to contain the text. The command then gets TERM and has
to end with 0; with --launcher, which says that it only starts the gateway, anyhow. What it has said is printed if
anything is not as it should be."""

import base64
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

DEADLINE = 60


def echo(listener):
    while True:
        peer, _ = listener.accept()
        while data := peer.recv(4096):
            peer.sendall(data)
        peer.close()


def connected(command):
    """A connection to the gateway, as soon as it listens."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", 6080), DEADLINE)
        except OSError as error:
            if command.poll() is not None:
                raise SystemExit(f"the gateway has ended with {command.returncode}") from None
            if time.monotonic() > end:
                raise SystemExit(f"nothing listens: {error}") from None
            time.sleep(0.05)


def answer(client, request):
    """Sends a request head; returns the answer up to what is asked for, and what comes behind its head."""
    client.sendall(("\r\n".join(request) + "\r\n\r\n").encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(4096)
        if not piece:
            raise SystemExit(f"the gateway has closed the connection behind {data!r}")
        data += piece
    return data.split(b"\r\n\r\n", 1)


def page(client, text):
    head, body = answer(client, ["GET /vnc.html HTTP/1.1", "Host: localhost", "Connection: close"])
    while piece := client.recv(65536):
        body += piece
    if b" 200 " not in head.splitlines()[0] or text.encode() not in body:
        raise SystemExit(f"/vnc.html is answered with {head!r}, {len(body)} bytes without {text!r}")


def relay(client):
    key = base64.b64encode(os.urandom(16)).decode()
    head, rest = answer(
        client,
        ["GET /websockify HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
         "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Protocol: binary"])
    accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
    if b" 101 " not in head.splitlines()[0] or accept not in head:
        raise SystemExit(f"the handshake is answered with {head!r}")
    payload = os.urandom(100)
    mask = os.urandom(4)
    client.sendall(bytes([0x82, 0x80 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))
    wanted = bytes([0x82, len(payload)]) + payload
    while len(rest) < len(wanted):
        piece = client.recv(4096)
        if not piece:
            raise SystemExit(f"the session has ended behind {rest!r}")
        rest += piece
    if rest != wanted:
        raise SystemExit(f"the echo of {payload!r} is {rest!r}")


def main():
    arguments = sys.argv[1:]
    text = None
    if arguments[0] == "--page":
        text, arguments = arguments[1], arguments[2:]
    is_launcher = arguments[0] == "--launcher"
    if is_launcher:
        del arguments[0]
    listener = socket.create_server(("127.0.0.1", 5900))
    threading.Thread(target=echo, args=(listener,), daemon=True).start()
    with tempfile.TemporaryFile() as said:
        command = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            if text is not None:
                page(connected(command), text)
            relay(connected(command))
            command.send_signal(signal.SIGTERM)
            if command.wait(DEADLINE) != 0 and not is_launcher:
                raise SystemExit(f"the gateway has ended with {command.returncode}")
        except BaseException:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
            raise
        finally:
            command.kill()


main()
