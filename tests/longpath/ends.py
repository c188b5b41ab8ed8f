"""What the programs here share: two network namespaces with a path between them (delay.py), programs that run in them,
and clients of the gateway in one of them."""

import contextlib
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
GATEWAY_PORT, TARGET_PORT = 6080, 5900


@contextlib.contextmanager
def path(name, near, far, *delay, prepare=lambda namespace: None):
    """The names of two namespaces that have these addresses; `delay` is for delay.py, `prepare` is done to each before
    the path is there."""
    names = [f"{name}-{os.getpid()}-{end}" for end in ("near", "far")]
    running = []
    try:
        for namespace in names:
            subprocess.run(["ip", "netns", "add", namespace], check=True)
            prepare(namespace)
        command = [sys.executable, str(HERE / "delay.py"), *delay, names[0], f"{near}/24", names[1], f"{far}/24"]
        between = subprocess.Popen(command, stdout=subprocess.PIPE)
        running.append(between)
        if between.stdout.readline() != b"ready\n":
            sys.exit("the path could not be made")
        yield names
    finally:
        for process in running:
            process.terminate()
            process.wait()
        for namespace in names:
            subprocess.run(["ip", "netns", "del", namespace])


def inside(namespace, command, **options):
    return subprocess.Popen(["ip", "netns", "exec", namespace, *command], start_new_session=True, **options)


def end(processes):
    """Kills what was started inside, in reverse order."""
    for process in reversed(processes):
        # Some have a process for each session.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def role(*words):
    """The command that runs the function of this name in this program."""
    return [sys.executable, os.path.abspath(sys.argv[0]), "--role", *words]


def main(program, **roles):
    if sys.argv[1:2] == ["--role"]:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        roles[sys.argv[2]](*sys.argv[3:])
    else:
        program()


def make_certificate(folder):
    name = f"{folder}/self.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=gateway", "-out", name, "-keyout", name], check=True, stderr=subprocess.DEVNULL)
    return name


def connect(host, scheme):
    """A connection to the gateway as soon as it listens: over TLS for wss and tls, upgraded for ws and wss."""
    deadline = time.monotonic() + 20
    while True:
        try:
            connection = socket.create_connection((host, GATEWAY_PORT), timeout=20)
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    if scheme in ("wss", "tls"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = context.wrap_socket(connection)
    if scheme in ("ws", "wss"):
        connection.sendall(
            f"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
    return connection
