#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the hand-made inputs of the ttrpc fuzz targets into corpus/."""

import pathlib
import struct

REQUEST, RESPONSE, DATA = 1, 2, 3
HERE = pathlib.Path(__file__).parent / "corpus"


def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def text(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value


def number(field, value):
    return varint(field << 3) + varint(value)


def frame(stream, kind, body=b"", flags=0, length=None):
    length = len(body) if length is None else length
    return struct.pack(">IIBB", length, stream, kind, flags) + body


def request(stream, payload=b"p", timeout=0, extra=b"", flags=0):
    body = text(1, b"svc") + text(2, b"Do") + text(3, payload)
    if timeout:
        body += number(4, timeout)
    return frame(stream, REQUEST, body + extra, flags)


def status(code, message, extra=b""):
    return text(1, number(1, code) + text(2, message) + extra)


def reply(stream, payload=b"answer"):
    return frame(stream, RESPONSE, text(2, payload))


PAIR = text(5, text(1, b"namespace") + text(2, b"k8s.io"))

SERVER = {
    "one-call": request(1),
    "calls": b"".join(request(i) for i in range(1, 20, 2)),
    "timeout": request(1, timeout=10**9) + request(3, timeout=-1) + request(5, timeout=2**63 - 1),
    "metadata": request(1, extra=PAIR * 3),
    "too-much-metadata": request(1, extra=b"\x2a\x00" * 100),
    "even-id": request(2) + request(0),
    "repeated-id": request(5) + request(5) + request(3),
    "highest-id": request(0xffffffff) + request(1),
    "oversized": frame(1, REQUEST, b"x" * 400) + request(3),
    "endless": frame(1, REQUEST, b"x" * 50, length=0xffffffff),
    "truncated-header": request(1) + request(3)[:7],
    "truncated-body": request(1) + request(3)[:14],
    "stream": request(1, flags=2) + frame(1, DATA, b"more") + frame(1, DATA, b"", 5),
    "data-of-no-stream": frame(7, DATA, b"x"),
    "response-to-server": reply(1),
    "unknown-types": frame(1, 0, b"x") + frame(1, 255, b"x") + request(1),
    "large-calls": request(1, b"x" * 250) + request(3, b"x" * 250) + request(5, b"x" * 250),
    "bad-envelope": frame(1, REQUEST, b"\x0a\xff\xff\xff\xff\x0f"),
    "unknown-fields": request(1, extra=number(9, 5) + text(10, b"x") + b"\x5d\0\0\0\0"),
    "groups": request(1, extra=b"\x63" * 60 + b"\x64" * 60),
    "empty": b"",
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}

CLIENT = {
    "answers": b"".join(reply(i) for i in range(1, 16, 2)),
    "out-of-order": b"".join(reply(i) for i in range(15, 0, -2)),
    "repeated": reply(1) + reply(1) + reply(1),
    "status": frame(1, RESPONSE, status(5, b"no such thing")),
    "status-ok": frame(1, RESPONSE, status(0, b"") + text(2, b"payload")),
    "status-code-unknown": frame(1, RESPONSE, status(99, b"?")) + frame(3, RESPONSE, status(-1, b"")),
    "status-details": frame(1, RESPONSE, status(5, b"m", text(3, text(1, b"type") + text(2, b"v")))),
    "message-not-utf8": frame(1, RESPONSE, status(2, b"\xff\xc0\xaf\xed\xa0\x80\xf0\x9f\x98\x80")),
    "not-asked": reply(99),
    "even": reply(2),
    "zero": reply(0),
    "request-to-client": request(1),
    "unknown-type": frame(1, 9, b"x"),
    "stream": frame(1, DATA, b"x", 2) + frame(1, DATA, b"", 5),
    "oversized": frame(1, RESPONSE, b"x" * 400) + reply(3),
    "endless": frame(1, RESPONSE, b"x" * 50, length=0xffffffff),
    "truncated": reply(1) + reply(3)[:12],
    "bad-envelope": frame(1, RESPONSE, b"\x0a\x7f"),
    "bad-status": frame(1, RESPONSE, b"\x0a\x02\x12\x7f"),
    "empty-answer": frame(1, RESPONSE),
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
}


def write(target, name, data):
    folder = HERE / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


for name, stream in SERVER.items():
    write("ttrpc_server_fuzz", name, b"\x06\x05" + stream)
for name, stream in CLIENT.items():
    write("ttrpc_client_fuzz", name, b"\x06\x10\x01" + stream)
for name in ("one-call", "oversized", "endless", "truncated-body", "zeros", "ones", "calls"):
    write("ttrpc_frame_fuzz", name, b"\x04" + SERVER[name])
