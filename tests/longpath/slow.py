#!/usr/bin/env python3
"""Keystrokes beside a full screen on a slow link: how long the echo of one takes in a session whose target always has
more to send.

The link from the gateway to the client has 5 Mbit/s (tc tbf, burst 16 KiB, latency 50 ms) and 20 ms each way (delay.py). The
target sends updates of 2 KiB without end, keeps little of them unsent in its own system, and says in each which key it
has seen last. The client sends a key every 100 to 200 ms, and waits for the first update that knows it.

    slow.py [--seconds 20] [--rounds 1] [--most-ms 140] NAME=SCHEME=COMMAND...

SCHEME is ws, wss, tcp or tls (no WebSocket), COMMAND has {listen}, {target} and {certificate}. With --most-ms it fails if
the median of a proxy's p99 is above that, or that of how full the link was below 95 %.
"""

import argparse
import random
import selectors
import shlex
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import ends
from ends import GATEWAY_PORT, TARGET_PORT, inside, role

NEAR, FAR = "10.98.0.1", "10.98.0.2"
UPDATE = 2048
RATE_MBIT = 5
SETTLE = 4
# The share of the link that is TCP payload: 1448 of 1500 bytes.
LINK_BYTES = RATE_MBIT * 1e6 / 8 * 1448 / 1500


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--most-ms", type=float)
    parser.add_argument("--congestion", help="of the gateway's side (default: the system's)")
    parser.add_argument("proxies", nargs="+")
    options = parser.parse_args()
    found = {}
    delay = ["--delay-ms", "20", "--mtu", "1500"]
    with ends.path("slow", NEAR, FAR, *delay) as names, tempfile.TemporaryDirectory() as folder:
        limit = f"tc qdisc add dev path0 root tbf rate {RATE_MBIT}mbit burst 16kb latency 50ms"
        inside(names[0], shlex.split(limit)).wait()
        if options.congestion:
            inside(names[0], ["sysctl", "-qw", f"net.ipv4.tcp_congestion_control={options.congestion}"]).wait()
        places = {
            "listen": f"{NEAR}:{GATEWAY_PORT}",
            "target": f"127.0.0.1:{TARGET_PORT}",
            "certificate": ends.make_certificate(folder),
        }
        for _ in range(options.rounds):
            for proxy in options.proxies:
                name, scheme, command = proxy.split("=", 2)
                figures = measure(options, names, name, scheme, command.format(**places))
                found.setdefault((name, scheme), []).append(figures)
    missed = False
    for (name, scheme), rounds in found.items():
        p50, p99, full = (statistics.median(figures) for figures in zip(*rounds))
        print(f"median: {name:<12} {scheme:<4} p50 {p50:.0f} ms, p99 {p99:.0f} ms, link {full:.1f} % full")
        missed |= options.most_ms is not None and (p99 > options.most_ms or full < 95)
    sys.exit(1 if missed else 0)


def measure(options, names, name, scheme, command):
    near, far = names
    processes = [
        inside(near, role("target", ""), stdout=subprocess.PIPE),
        inside(near, shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
    ]
    try:
        if processes[0].stdout.readline() != b"ready\n":
            sys.exit("the target does not listen")
        processes.append(inside(far, role("client", scheme, str(options.seconds)), stdout=subprocess.PIPE))
        line = processes[2].stdout.readline().decode().split()
        if not line:
            sys.exit(f"{name}, {scheme}: the session did not last")
        p50, p99, most, count, full = map(float, line)
        print(f"{name:<20} {scheme:<4} p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {most:.0f} ms of {count:.0f}, "
              f"link {full:.1f} % full", flush=True)
        return p50, p99, full
    finally:
        ends.end(processes)


def target(_):
    listener = socket.create_server(("127.0.0.1", TARGET_PORT))
    print("ready", flush=True)
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, 25, 4096)  # TCP_NOTSENT_LOWAT
    connection.setblocking(False)
    poll = selectors.DefaultSelector()
    poll.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
    update, keys, last = b"", b"", 0
    while True:
        for _, events in poll.select():
            if events & selectors.EVENT_READ:
                try:
                    got = connection.recv(65536)
                except ConnectionResetError:
                    got = b""
                if not got:
                    return
                keys += got
                while len(keys) >= 8:
                    last, keys = int.from_bytes(keys[:8], "big"), keys[8:]
            if events & selectors.EVENT_WRITE:
                if not update:
                    update = b"\xfe" * 8 + last.to_bytes(8, "big") + bytes(UPDATE - 16)
                try:
                    update = update[connection.send(update):]
                except BlockingIOError:
                    pass


def client(scheme, seconds):
    connection = ends.connect(NEAR, scheme)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    is_web = scheme in ("ws", "wss")
    sent, times = {}, []
    start = time.monotonic()
    end = start + SETTLE + float(seconds)
    next_key, key, known = start + SETTLE, 0, 0
    raw, data, payload, frame_left, measured, first = b"", bytearray(), 0, 0, 0, None
    connection.settimeout(0.005)
    while True:
        now = time.monotonic()
        if now >= end:
            break
        if now >= next_key:
            key += 1
            body = key.to_bytes(8, "big")
            sent[key] = time.monotonic()
            connection.settimeout(20)
            connection.sendall(b"\x82\x88\0\0\0\0" + body if is_web else body)
            connection.settimeout(0.005)
            next_key = now + random.uniform(0.1, 0.2)
        try:
            got = connection.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError, socket.timeout):
            continue
        if not got:
            sys.exit("the session has ended")
        now = time.monotonic()
        if now >= start + SETTLE:
            first = first or now
            measured += len(got)
        if not is_web:
            data += got
        else:
            raw += got
            while raw:
                if frame_left:
                    # Only whole frames count, since a browser delivers only those.
                    if len(raw) < frame_left:
                        break
                    data += raw[:frame_left]
                    raw, frame_left = raw[frame_left:], 0
                    continue
                if len(raw) < 2:
                    break
                size, head = raw[1], 2
                if size == 126:
                    head = 4
                elif size == 127:
                    head = 10
                if len(raw) < head:
                    break
                frame_left = size if size < 126 else int.from_bytes(raw[2:head], "big")
                raw = raw[head:]
        while len(data) >= UPDATE:
            assert data[:8] == b"\xfe" * 8, "not an update"
            seen = int.from_bytes(data[8:16], "big")
            del data[:UPDATE]
            while known < seen:
                known += 1
                times.append(now - sent.pop(known))
    full = measured / (time.monotonic() - first) / LINK_BYTES * 100
    # An echo that has not come by now takes at least this long.
    times = sorted(times + [time.monotonic() - at for at in sent.values()])
    at = lambda part: times[min(len(times) - 1, int(len(times) * part))] * 1000
    print(at(0.5), at(0.99), times[-1] * 1000, len(times), full, flush=True)


if __name__ == "__main__":
    ends.main(main, target=target, client=client)
