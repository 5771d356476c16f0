# SPDX-License-Identifier: Apache-2.0
"""A ttrpc client: unary calls, many at a time, over one unix socket."""

import socket
import struct
import threading

from . import protobuf

REQUEST, RESPONSE = 1, 2

CODES = {0: "OK", 1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED",
         5: "NOT_FOUND", 6: "ALREADY_EXISTS", 7: "PERMISSION_DENIED", 8: "RESOURCE_EXHAUSTED",
         9: "FAILED_PRECONDITION", 10: "ABORTED", 11: "OUT_OF_RANGE", 12: "UNIMPLEMENTED",
         13: "INTERNAL", 14: "UNAVAILABLE", 15: "DATA_LOSS", 16: "UNAUTHENTICATED"}


class RpcError(Exception):
    """A call that was answered with a status: code (a name of CODES) and message."""

    def __init__(self, code, message):
        super().__init__(f"{CODES.get(code, code)}: {message}")
        self.code, self.message = CODES.get(code, str(code)), message


class ConnectionClosed(Exception):
    pass


class Client:
    def __init__(self, path, timeout=10):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(path)
        self._socket.settimeout(None)
        self._lock = threading.Lock()
        self._next = 1
        self._waiting = {}
        self._closed = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def call(self, service, method, payload=b"", timeout=60):
        """The reply's payload; RpcError for a status, ConnectionClosed, TimeoutError."""
        body = protobuf.encode((1, service), (2, method), (3, payload),
                               (4, int(timeout * 1e9)))
        done = threading.Event()
        with self._lock:
            if self._closed:
                raise ConnectionClosed(self._closed)
            stream, self._next = self._next, self._next + 2
            slot = self._waiting[stream] = [done, None]
            self._socket.sendall(struct.pack(">IIBB", len(body), stream, REQUEST, 0) + body)
        if not done.wait(timeout + 5):
            raise TimeoutError(f"{service}/{method}: no answer within {timeout} s")
        if slot[1] is None:
            raise ConnectionClosed(self._closed)
        reply = protobuf.decode(slot[1])
        status = protobuf.decode(protobuf.first(reply, 1, b""))
        code = protobuf.first(status, 1)
        if code:
            raise RpcError(code, protobuf.text(status, 2))
        return bytes(protobuf.first(reply, 2, b""))

    def send_raw(self, data):
        with self._lock:
            self._socket.sendall(data)

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._reader.join(5)
        self._socket.close()

    def _receive(self, size):
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionClosed("closed by the other side")
            data += part
        return bytes(data)

    def _read(self):
        try:
            while True:
                size, stream, _, _ = struct.unpack(">IIBB", self._receive(10))
                body = self._receive(size)
                with self._lock:
                    slot = self._waiting.pop(stream, None)
                if slot:
                    slot[1] = body
                    slot[0].set()
        except (OSError, ConnectionClosed) as error:
            with self._lock:
                self._closed = str(error) or "closed"
                for slot in self._waiting.values():
                    slot[0].set()
