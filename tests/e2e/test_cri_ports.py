# SPDX-License-Identifier: Apache-2.0
"""Ports of a pod, forwarded by way of the loopback of its network namespace on the host."""

import os
import re
import select
import socket
import time

from support.cri_case import CriCase
from testbed.process import wait_until


class Ports:
    def forward(self, pod, port):
        """A port of this host that leads to the pod's."""
        child = self.begin("port-forward", pod, f":{port}")
        said, deadline = b"", time.monotonic() + 60
        while not (found := re.search(rb"Forwarding from 127\.0\.0\.1:(\d+)", said)):
            ready = select.select([child.stdout], [], [], max(0, deadline - time.monotonic()))[0]
            data = os.read(child.stdout.fileno(), 4096) if ready else b""
            if not data:
                self.fail(f"crictl port-forward: {said}")
            said += data
        return int(found[1])

    @staticmethod
    def talk(port, said=b""):
        """What comes back, to the end."""
        with socket.create_connection(("127.0.0.1", port), 30) as peer:
            peer.sendall(said)
            peer.shutdown(socket.SHUT_WR)
            heard = b""
            while data := peer.recv(65536):
                heard += data
            return heard

    def serve(self, pod, path, word, port, server):
        """A container in which `server` runs, which listens at the port by then."""
        container = self.start(pod, path, word, ["sh", "-c", server])
        wait_until(lambda: self.exec(container, "sh", "-c", f"cat /proc/net/tcp /proc/net/tcp6 | grep ':{port:04X} .* 0A ' || true"),
                   30, "the server listens")
        return container

    def test_a_port_of_a_pod_is_forwarded(self):
        pod, path = self.run_pod()
        self.serve(pod, path, "web", 8080, "echo hello >/tmp/index.html; httpd -f -p 8080 -h /tmp")
        port = self.forward(pod, 8080)
        for _ in range(3):
            self.assertIn(b"hello", self.talk(port, b"GET /index.html HTTP/1.0\r\n\r\n"))

    def test_a_port_of_the_loopback_alone_is_forwarded(self):
        pod, path = self.run_pod()
        servers = [(9000, "127.0.0.1")]
        if self.runtime.is_vm:
            # containerd asks for localhost by IPv6 where the host's /etc/hosts has it.
            servers.append((9001, "[::1]"))
        for port, address in servers:
            self.serve(pod, path, f"web{port}", port,
                       f"echo {address} >/tmp/index.html; httpd -f -p {address}:{port} -h /tmp")
            self.assertIn(address.encode(), self.talk(self.forward(pod, port), b"GET /index.html HTTP/1.0\r\n\r\n"))

    def test_much_is_forwarded_unharmed(self):
        pod, path = self.run_pod()
        self.serve(pod, path, "echo", 9000, "nc -ll -p 9000 -e cat")
        said = os.urandom(8 << 20)
        port = self.forward(pod, 9000)
        with socket.create_connection(("127.0.0.1", port), 60) as peer:
            peer.settimeout(120)
            sent, heard = 0, bytearray()
            while len(heard) < len(said):
                ready = select.select([peer], [peer] if sent < len(said) else [], [], 60)
                if ready[1]:
                    sent += peer.send(said[sent:sent + 65536])
                if ready[0]:
                    data = peer.recv(65536)
                    self.assertTrue(data, f"the end after {len(heard)} bytes")
                    heard += data
                self.assertTrue(ready[0] or ready[1], f"nothing moves after {len(heard)} bytes")
        self.assertEqual(bytes(heard), said)

    def test_where_nobody_listens_the_connection_ends(self):
        pod, path = self.run_pod()
        self.start(pod, path, "idle", ["sleep", "1000"])
        port = self.forward(pod, 81)
        try:
            self.assertEqual(self.talk(port), b"")
        except ConnectionResetError:
            pass
        self.assertEqual(self.pod_state(pod), "SANDBOX_READY")


class PortsOfSandboxApi(Ports, CriCase):
    sandboxer = "shim"


class PortsWithPause(Ports, CriCase):
    sandboxer = "podsandbox"
