#!/usr/bin/env python3
"""A path with a delay between two network namespaces: a TUN device in each, and this program between them, which
passes each packet on when its time has come. Linux's own tool for that (netem) is missing in many kernels.

    delay.py [--delay-ms 25] [--rate-mbit 400] [--mtu 9000] NAMESPACE ADDRESS/BITS NAMESPACE ADDRESS/BITS

The namespaces have names (ip netns add). The delay is that of each way. When both devices are up the program says
"ready"; it runs until it is ended. Nothing is lost here, however long the queue.
"""

import argparse
import collections
import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys
import time

# linux/if_tun.h, sched.h
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000

DEVICE = "path0"
PACKETS_AT_A_TIME = 64


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--delay-ms", type=float, default=25, help="of each way (default: %(default)s)")
    parser.add_argument("--rate-mbit", type=float, default=0, help="of each way (default: what the machine can)")
    parser.add_argument("--mtu", type=int, default=9000, help="of both devices (default: %(default)s)")
    for end in ("near", "far"):
        parser.add_argument(f"{end}_namespace")
        parser.add_argument(f"{end}_address", help="with the length of the prefix: 10.9.0.1/24")
    options = parser.parse_args()
    near = device(options.near_namespace, options.near_address, options.mtu)
    far = device(options.far_namespace, options.far_address, options.mtu)
    print("ready", flush=True)
    # A process for each way, since Python runs one thread at a time.
    child = os.fork()
    ends = (near, far) if child else (far, near)
    try:
        carry(*ends, options.delay_ms / 1000, options.rate_mbit * 1e6 / 8, os.getpid() if child else os.getppid())
    except KeyboardInterrupt:
        pass


def device(namespace, address, mtu):
    """A new TUN device in that namespace, up and with that address. The process moves there to make it."""
    with open(f"/run/netns/{namespace}") as there:
        if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET) != 0:
            sys.exit(f"{namespace}: {os.strerror(ctypes.get_errno())}")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    for words in (["link", "set", "lo", "up"], ["address", "add", address, "dev", DEVICE],
                  ["link", "set", DEVICE, "mtu", str(mtu), "txqueuelen", "10000", "up"]):
        subprocess.run(["ip", *words], check=True)
    return tun


def carry(source, sink, delay, rate, parent):
    """Passes packets on, each after the delay and at most so many bytes a second, until the parent has gone."""
    waiting = collections.deque()
    free_at = 0
    while parent in (os.getpid(), os.getppid()):
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            put(sink, waiting.popleft()[1])
        wait = max(0, waiting[0][0] - time.monotonic()) if waiting else 1
        if not select.select([source], [], [], wait)[0]:
            continue
        now = time.monotonic()
        try:
            for _ in range(PACKETS_AT_A_TIME):
                packet = os.read(source, 65536)
                free_at = max(free_at, now) + (len(packet) / rate if rate else 0)
                waiting.append((free_at + delay, packet))
        except BlockingIOError:
            pass


def put(sink, packet):
    try:
        os.write(sink, packet)
    except OSError:
        # The far system has no room or no use for it, as happens on real paths.
        pass


if __name__ == "__main__":
    main()
