# SPDX-License-Identifier: Apache-2.0
"""Servers and clients for containers, made of busybox and one small program of our own."""

import os
import subprocess

from .process import BedError, run, wait_until

# A page that says whose it is, at port 80.
HTTPD = "mkdir -p /www; echo hello from $(hostname) > /www/index.html; httpd -f -p 80 -h /www"

# Shell functions: the address that the container's name server knows (a or aaaa), and a page.
ASK_NAME = """\
address_of() { nslookup -type=$2 $1 | sed -n '/^Name/,$s/^Address[^:]*: //p' | head -n 1; }
"""


def get(address, port=80, path="/"):
    """A command that fetches a page; a static busybox's wget wants files of the C library."""
    return f"printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' | nc -w 20 {address} {port}"


def name_server(address):
    """A command: a name server that answers every question with 192.0.2.77, while its input is open."""
    return ("python3", "-c", "import select, socket, sys\n"
            f"s = socket.socket(socket.AF_INET{'6' if ':' in address else ''}, socket.SOCK_DGRAM)\n"
            f"s.bind(('{address}', 53))\n"
            "while sys.stdin not in select.select([s, sys.stdin], [], [])[0]:\n"
            "  data, peer = s.recvfrom(2000)\n"
            "  s.sendto(data[:2] + b'\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0' + data[12:] + "
            "b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\xc0\\0\\2\\x4d', peer)")


def build_udp(folder):
    """Path of the program that udp.cc is, in `folder`; see there."""
    source, program = f"{os.path.dirname(os.path.abspath(__file__))}/udp.cc", f"{folder}/udp"
    done = subprocess.run(["c++", "-std=c++20", "-O1", "-static", "-o", program, source])
    if done.returncode != 0:
        raise BedError("testbed/udp.cc does not build")
    return program


def fetch(entered, url, seconds=60, more=lambda: ""):
    """What an HTTP server says once it answers.

    entered    makes a command line that runs in some namespace of one that runs here
    more       gives text for the message when it never answers
    """
    last = []
    def answer():
        last[:] = [run(entered("curl", "-sS", "--max-time", "10", url), 30)]
        return last[0].out if last[0].code == 0 else None
    return wait_until(answer, seconds, lambda: f"answer of {url}: {last}; {more()}")
