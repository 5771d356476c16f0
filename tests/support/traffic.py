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


def build_udp(folder):
    """Path of the program that udp.cc is, in `folder`; see there."""
    source, program = f"{os.path.dirname(os.path.abspath(__file__))}/udp.cc", f"{folder}/udp"
    done = subprocess.run(["c++", "-std=c++20", "-O1", "-static", "-o", program, source])
    if done.returncode != 0:
        raise BedError("tests/support/udp.cc does not build")
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
