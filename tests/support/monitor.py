# SPDX-License-Identifier: Apache-2.0
"""kata-monitor and Debian's Prometheus beside a bed, and their words."""

import json
import os
import re
import signal
import subprocess
import urllib.parse

from testbed import debs
from testbed.process import run, wait_until

SAMPLE = re.compile(r"^([a-z0-9_]+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class Service:
    """A program that says on standard error where it listens, once it does."""

    def __init__(self, log, argv, address, enter=lambda *argv: list(argv)):
        """`address`: a pattern whose first group is the address in its log."""
        self.log, self._pattern = log, re.compile(address)
        with open(log, "wb") as file:
            self.process = subprocess.Popen(enter(*argv), stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self.address = wait_until(self._listens, 60, lambda: f"{argv[0]} listens: {self.said()}")

    def _listens(self):
        if self.process.poll() is not None:
            raise AssertionError(f"it has ended with {self.process.returncode}: {self.said()}")
        found = self._pattern.search(self.said())
        return found and found[1]

    def said(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def end(self, number=signal.SIGTERM):
        """Its exit code."""
        if self.process.poll() is None:
            # Who has entered namespaces only waits for who does the work.
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
                workers = file.read().split() or [self.process.pid]
            for pid in workers:
                os.kill(int(pid), number)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class Monitor(Service):
    def __init__(self, runtime, folder, *words, listen="127.0.0.1:0", enter=lambda *argv: list(argv)):
        super().__init__(f"{folder}/monitor.log",
                         [f"{runtime.bin_dir}/kata-monitor", "--listen-address", listen, "--config", runtime.config,
                          *words], r"kata-monitor serves.* address=(\S+)", enter)
        self._enter = enter

    def curl(self, path, *words):
        """(status, body)"""
        if self.address.startswith("unix:"):
            words = ["--unix-socket", self.address[len("unix:"):], *words]
            url = f"http://localhost{path}"
        else:
            url = f"http://{self.address}{path}"
        done = run(self._enter("curl", "-sS", "-g", "-m", "60", "-w", "\n%{http_code}", *words, url), 90)
        if done.code != 0:
            raise AssertionError(f"{done}\nkata-monitor: {self.said()}")
        body, _, status = done.out.rpartition("\n")
        return int(status), body

    def page(self, path):
        status, body = self.curl(path)
        if status != 200:
            raise AssertionError(f"{path}: {status} {body}\nkata-monitor: {self.said()}")
        return body

    def metrics(self, query=""):
        return Metrics(self.page(f"/metrics{query}"))


class Metrics:
    """The samples of Prometheus' text."""

    def __init__(self, text):
        self.text, self.types, self._samples = text, {}, []
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                if name in self.types:
                    raise AssertionError(f"the family {name} comes twice")
                self.types[name] = kind
            elif not line.startswith("#"):
                match = SAMPLE.match(line)
                if not match:
                    raise AssertionError(f"no sample: {line!r}")
                self._samples.append((match[1], dict(LABEL.findall(match[2] or "")), float(match[3])))

    def all(self, name, **labels):
        return [value for of, has, value in self._samples
                if of == name and all(has.get(key) == text for key, text in labels.items())]

    def one(self, name, **labels):
        found = self.all(name, **labels)
        if len(found) != 1:
            raise AssertionError(f"{len(found)} samples {name} {labels}")
        return found[0]


class Prometheus(Service):
    """`jobs`: {name: (address, path)}, asked every second."""

    def __init__(self, folder, jobs):
        os.mkdir(f"{folder}/prometheus")
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                  "scrape_configs": [{"job_name": name, "metrics_path": path, "scrape_interval": "5s",
                                      "scrape_timeout": "5s", "static_configs": [{"targets": [address]}]}
                                     for name, (address, path) in jobs.items()]}
        # YAML has JSON in it.
        with open(f"{folder}/prometheus/prometheus.yml", "w") as file:
            json.dump(config, file)
        program = f"{debs.unpack('prometheus')}/usr/bin/prometheus"
        super().__init__(f"{folder}/prometheus/log",
                         [program, f"--config.file={folder}/prometheus/prometheus.yml",
                          f"--storage.tsdb.path={folder}/prometheus/data", "--web.listen-address=127.0.0.1:0"],
                         r'msg="Listening on" address=(\S+)')

    def query(self, expression):
        """[(labels, value)]"""
        url = f"http://{self.address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        answer = json.loads(run(["curl", "-sS", "-m", "30", url], 60).out)
        if answer["status"] != "success":
            raise AssertionError(f"{expression}: {answer}")
        return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]
