# SPDX-License-Identifier: Apache-2.0
"""A registry of a few images, to pull from, on this machine's loopback.

Basis: OCI distribution-spec 1.1, what pulling needs of it.
"""

import http.server
import re
import threading


class Registry:
    """address is HOST:PORT; images are {name:tag: (blobs, manifest's descriptor)} of image.make().

    A name without a folder stands for that image in whatever folder it is asked for.
    """

    def __init__(self, images):
        self.blobs = {digest: data for blobs, _ in images.values() for digest, data in blobs.items()}
        self.manifests = {name: descriptor for name, (_, descriptor) in images.items()}
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                registry.answer(self, True)

            def do_HEAD(self):
                registry.answer(self, False)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request, with_body):
        status, kind, digest = 404, "application/json", None
        # A mirror is told whose place it takes.
        path = request.path.partition("?")[0]
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", path)
        if path == "/v2/":
            status, data = 200, b"{}"
        elif found and found[2] == "manifests":
            wanted = f"{found[1]}@{found[3]}" if ":" in found[3] else f"{found[1]}:{found[3]}"
            digest = found[3] if "@" in wanted else self.digest(wanted)
            kind = "application/vnd.oci.image.manifest.v1+json"
        elif found:
            digest, kind = found[3], "application/octet-stream"
        if digest in self.blobs:
            status, data = 200, self.blobs[digest]
        elif status == 404:
            data = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not here"}]}'
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(data)))
        request.send_header("Docker-Distribution-API-Version", "registry/2.0")
        if digest and status == 200:
            request.send_header("Docker-Content-Digest", digest)
        request.end_headers()
        if with_body:
            request.wfile.write(data)

    def digest(self, wanted):
        named = self.manifests.get(wanted) or self.manifests.get(wanted.rsplit("/", 1)[-1], {})
        return named.get("digest")

    def close(self):
        self.server.shutdown()
        self.server.server_close()
