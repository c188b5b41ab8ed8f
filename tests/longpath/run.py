#!/usr/bin/env python3
"""Bulk data over a long path: a gateway's rate beside that of a bare relay, in alternating pairs.

The path has 25 ms and 400 Mbit/s each way (delay.py), and the systems at its ends may use buffers of 32 MiB. One end of the gateway
is far away, first the client and then the target. Over wss the client's side is TLS; the relay passes plain bytes in
any case. A rate is that of three seconds, after the connection had a second and a half to find its speed. It fails if
the median of the pairs' quotients is below 0.95.
"""

import argparse
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import ends
from ends import GATEWAY_PORT, TARGET_PORT, inside, role

ROOT = pathlib.Path(__file__).resolve().parents[2]
NEAR, FAR = "10.99.0.1", "10.99.0.2"
LISTEN, TARGET = f"{NEAR}:{GATEWAY_PORT}", f"{{}}:{TARGET_PORT}"
RELAY_BYTES = str(256 << 10)
BUFFER_BYTES = 32 << 20
SETTLE, MEASURE = 1.5, 3
LEAST = 0.95
PIECE = 64 << 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gateway", default=str(ROOT / "target/release/websockify"))
    parser.add_argument("--relay", help="the program of benches/end_to_end, which is a bare relay, too", required=True)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--delay-ms", type=float, default=25)
    parser.add_argument("--rate-mbit", type=float, default=400)
    parser.add_argument("--only", help="such as 'client wss up'")
    options = parser.parse_args()
    delay = ["--delay-ms", str(options.delay_ms), "--rate-mbit", str(options.rate_mbit)]
    low = 0
    with ends.path("longpath", NEAR, FAR, *delay, prepare=widen) as names, tempfile.TemporaryDirectory() as folder:
        certificate = ends.make_certificate(folder)
        for far in ("client", "target"):
            for scheme in ("ws", "wss"):
                for way in ("down", "up"):
                    if not options.only or options.only in f"{far} {scheme} {way}":
                        low += not compare(options, names, certificate, far, scheme, way)
    sys.exit(1 if low else 0)


def widen(namespace):
    for what, begin in (("tcp_rmem", 131072), ("tcp_wmem", 16384)):
        inside(namespace, ["sh", "-c", f"echo 4096 {begin} {BUFFER_BYTES} > /proc/sys/net/ipv4/{what}"]).wait()


def compare(options, names, certificate, far, scheme, way):
    """Measures pairs; true if the gateway is as fast as it has to be."""
    quotients, rates = [], []
    for pair in range(options.pairs):
        tls = ["--ssl-only", "--cert", certificate] if scheme == "wss" else []
        commands = {
            "gateway": ([options.gateway, *tls, LISTEN, TARGET], scheme),
            "relay": ([options.relay, "--plain-relay", LISTEN, TARGET, RELAY_BYTES], "tcp"),
        }
        order = ["gateway", "relay"] if pair % 2 == 0 else ["relay", "gateway"]
        found = {name: measure(*commands[name], names, far, way) for name in order}
        quotients.append(found["gateway"] / found["relay"])
        rates.append(found)
    median = statistics.median(quotients)
    shown = [f"{statistics.median(r[name] for r in rates) / 1e6:.0f}" for name in ("gateway", "relay")]
    print(
        f"far {far}, {scheme}, {way}: gateway {shown[0]} MB/s, relay {shown[1]} MB/s, median quotient {median:.3f}"
        f" ({', '.join(f'{quotient:.3f}' for quotient in sorted(quotients))})",
        flush=True,
    )
    return median >= LEAST


def measure(command, scheme, names, far, way):
    """The rate of one transfer in bytes a second, as its receiver has seen it."""
    near, away = names
    client_at, target_at = (away, near) if far == "client" else (near, away)
    target_address = NEAR if far == "client" else FAR
    processes = [
        inside(target_at, role("target", way, target_address), stdout=subprocess.PIPE),
        inside(near, [word.format(target_address) for word in command], stdout=subprocess.DEVNULL,
               stderr=subprocess.DEVNULL),
    ]
    try:
        if processes[0].stdout.readline() != b"ready\n":
            sys.exit("the target does not listen")
        processes.append(inside(client_at, role("client", way, scheme), stdout=subprocess.PIPE))
        receiver = processes[2 if way == "down" else 0]
        line = receiver.stdout.readline()
        if not line:
            sys.exit(f"no rate: far {far}, {scheme}, {way}, {command[0]}")
        return float(line)
    finally:
        ends.end(processes)


def target(way, address):
    listener = socket.create_server((address, TARGET_PORT))
    print("ready", flush=True)
    connection, _ = listener.accept()
    transfer(connection, way == "up", bytes(PIECE))


def client(way, scheme):
    connection = ends.connect(NEAR, scheme)
    connection.settimeout(None)
    piece = bytes(PIECE)
    if scheme != "tcp":
        # A binary frame under a mask of zeros.
        piece = b"\x82\xff" + len(piece).to_bytes(8, "big") + bytes(4) + piece
    transfer(connection, way == "down", piece)


def transfer(connection, receives, piece):
    """Sends without end, or receives and says how fast."""
    if not receives:
        while True:
            try:
                connection.sendall(piece)
            except OSError:
                return  # It has been measured.
    space = bytearray(1 << 20)
    connection.recv_into(space, 1)
    start = time.monotonic()
    count = 0
    began = ended = None
    while ended is None or ended < start + SETTLE + MEASURE:
        got = connection.recv_into(space)
        if got == 0:
            sys.exit("the connection has ended")
        ended = time.monotonic()
        if began is not None:
            count += got
        elif ended >= start + SETTLE:
            began = ended
    print(count / (ended - began), flush=True)


if __name__ == "__main__":
    ends.main(main, target=target, client=client)
