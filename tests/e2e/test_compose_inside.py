# SPDX-License-Identifier: Apache-2.0
"""A web server and a database (Debian's redis), made by docker compose inside the sandbox."""

import os
import subprocess
import tarfile

from support import chroot
from support.case import only
from support.inside_case import UP, EngineCase
from testbed.process import run, wait_until

DATA = "/var/lib/docker"
PROGRAMS = ("usr/bin/redis-server", "usr/bin/redis-cli")

COMPOSE = """\
services:
  db:
    image: app
    command: redis-server --bind 0.0.0.0 --protected-mode no --dir /data --appendonly yes --appendfsync always
    volumes: ["data:/data"]
    restart: always
  web:
    build: web
    ports: ["8080:80"]
    depends_on: [db]
    restart: always
volumes:
  data:
"""
DOCKERFILE = """\
FROM app
COPY hits /www/cgi-bin/hits
RUN chmod 755 /www/cgi-bin/hits
CMD ["httpd", "-f", "-p", "80", "-h", "/www"]
"""
# A write that is acknowledged is on the disk.
HITS = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nredis-cli -h db incr hits\n"


def add_programs(tar, tree, programs):
    """Programs of a Debian in a folder, with the libraries that they need."""
    listed = subprocess.check_output(["chroot", tree, "ldd", *(f"/{name}" for name in programs)], text=True)
    libraries = {word for line in listed.splitlines() for word in line.split() if word.startswith("/lib")}
    for name in [*programs, *(path[1:] for path in sorted(libraries))]:
        tar.add(os.path.realpath(f"{tree}/{name}"), arcname=name)


@only("kata", "disks are the machine's")
class ComposeInside(EngineCase):
    release = "13"
    packages = ("docker.io", "docker-cli", "docker-buildx", "docker-compose", "iptables", "iproute2", "procps",
                "ca-certificates", "busybox-static", "e2fsprogs")

    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        with tarfile.open(cls.inner, "a") as tar:
            add_programs(tar, chroot.base(cls.release, ("redis-server",)), PROGRAMS)
        cls.project = f"{cls.bed.base}/project"
        os.makedirs(f"{cls.project}/web")
        for name, text in (("compose.yaml", COMPOSE), ("web/Dockerfile", DOCKERFILE), ("web/hits", HITS)):
            with open(f"{cls.project}/{name}", "w") as file:
                file.write(text)

    def start(self, *options, **more):
        return super().start("-v", f"{self.project}:/project:ro", *options, **more)

    def hit(self):
        """The number that the web server has got from the database, or None."""
        address = self.inspect(".NetworkSettings.Networks.bridge.IPAddress")
        done = run(self.bed.entered("busybox", "wget", "-q", "-O", "-", f"http://{address}:8080/cgi-bin/hits"), 30)
        return int(done.out) if done.code == 0 and done.out.strip().isdigit() else None

    def wait_hit(self):
        return wait_until(self.hit, 120,
                          lambda: self.inside("docker ps -a; docker logs project-web-1 2>&1 | tail -5").out)

    def test_a_web_server_and_its_database_outlive_restarts_new_containers_and_power_cuts(self):
        volume = self.volume()[0]
        self.start("-v", f"{volume}:{DATA}")
        self.step("dockerd", UP)
        self.step("import", "docker import /inner.tar app")
        self.step("up", "cd /project; docker compose up -d --build")
        self.assertEqual(self.wait_hit(), 1)
        self.step("restart", "cd /project; docker compose restart -t 5")
        self.assertEqual(self.wait_hit(), 2)
        self.docker("rm", "-f", self.name, check=True)

        # They begin with their daemon.
        self.start("-v", f"{volume}:{DATA}")
        self.step("dockerd again", UP)
        seen = self.wait_hit()
        self.assertEqual(seen, 3)
        while seen < 8:
            seen = self.hit() or seen
        writer = self.bed.popen("exec", self.name, "sh", "-c", "while :; do docker exec project-db-1 sh -c "
                                "'while :; do redis-cli incr hits; done'; done")
        with self.background(writer):
            acknowledged = [int(writer.stdout.readline()) for _ in range(20)][-1]
            self.kill_machine()
            rest, _ = writer.communicate(timeout=60)
            acknowledged = max([acknowledged, *(int(line) for line in rest.split() if line.isdigit())])
        self.docker("rm", "-f", self.name, check=True)

        self.start("-v", f"{volume}:{DATA}")
        self.step("dockerd after the power cut", UP)
        seen = self.wait_hit()
        self.assertGreater(seen, acknowledged)
        self.assertNotIn("Bad file format", self.inside("docker logs project-db-1 2>&1 | tail -20").out)
        self.report()
