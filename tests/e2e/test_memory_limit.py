# SPDX-License-Identifier: Apache-2.0
"""At the memory limit: who asks for more is killed within seconds, who is merely busy there lives.

A program in steps smaller than a page's worth of its text leaves the kernel something to take back at
every moment: without the agent's watch these stand still for minutes.
"""

import os
import time

from support import perl
from support.case import ContainerdCase, core, only
from testbed.process import wait_until

MIB = 1 << 20
LIMIT = 64 * MIB
# From the moment that little is left. Five on a machine that is idle.
SECONDS_TO_DIE = 15

# Asks for $ARGV[0] bytes at a time, without end, and says when little is left.
GREEDY = r"""
$| = 1; my ($n, @all) = (0);
for (;;) { push @all, "x" x $ARGV[0]; $n += $ARGV[0]; if ($n > 57e6) { print "near\n"; $n = -1e12 } }
"""

# Holds $ARGV[0] bytes in small pieces and does a little of everything for $ARGV[1] seconds.
BUSY = r"""
$| = 1; my ($end, $rounds, @all) = (0, 0);
push @all, "x" x 10000 for 1 .. $ARGV[0] / 10000;
for ($end = time + $ARGV[1]; time < $end; ++$rounds) {
  my %h = map { $_ => sprintf "%05.2f", sin $_ } 1 .. 50;
  my $s = join ",", sort { $h{$a} <=> $h{$b} } keys %h; $s =~ s/(\d+),/<$1>/g; $s = reverse uc $s;
}
print "rounds ", $rounds > 0 ? "some" : "none", "\n";
"""


class MemoryCase(ContainerdCase):
    @classmethod
    def set_up_bed(cls):
        cls.tree = perl.write_tree(f"{cls.containerd.base}/perl")
        # As files: ctr takes options of a command for its own.
        for name, script in (("greedy", GREEDY), ("busy", BUSY)):
            with open(f"{cls.tree}/{name}", "w") as file:
                file.write(script)
        cls.folder = f"{cls.containerd.base}/files"
        os.makedirs(cls.folder)
        with open(f"{cls.folder}/large", "wb") as file:
            for _ in range(150):
                file.write(os.urandom(MIB))
        with open(f"{cls.folder}/small", "wb") as file:
            file.write(os.urandom(20 * MIB))
        cls.atlimit = cls.compiled("atlimit")

    def perl(self, script, *arguments):
        return ["chroot", "/perl", perl.PATH, f"/{script}", *map(str, arguments)]

    def flags(self, limit=LIMIT):
        return ["--memory-limit", str(limit),
                "--mount", f"type=bind,src={self.tree},dst=/perl,options=rbind:ro",
                "--mount", f"type=bind,src={self.folder},dst=/files,options=rbind:ro",
                "--mount", f"type=bind,src={self.atlimit},dst=/atlimit,options=rbind:ro"]

    def assert_near(self, process):
        line = process.stdout.readline()
        self.assertEqual(line, b"near\n", "" if line else process.stderr.read())

    def assert_killed(self, name, code):
        self.assertEqual(code, 137, f"{name}: {self.containerd.log_tail()}")


class WhoAsksForMore(MemoryCase):
    def seconds_to_die(self, name, size):
        """Runs the greedy program; seconds from its word to its end."""
        with self.containerd.popen(*self.containerd.run_arguments(
                name, self.perl("greedy", size), "--rm", *self.flags())) as process:
            self.assert_near(process)
            begin = time.monotonic()
            self.assert_killed(name, process.wait(SECONDS_TO_DIE + 300))
            return time.monotonic() - begin

    def check(self, size):
        with self.containerd.events() as events:
            seconds = self.seconds_to_die(self.name, size)
            self.assertTrue(events.wait_for(self.name, "/tasks/oom"))
        print(f"{size}: {seconds:.1f} s", flush=True)
        self.assertLess(seconds, SECONDS_TO_DIE)

    @core
    def test_in_steps_of_ten_kilobytes(self):
        self.check(10_000)

    def test_in_steps_of_a_megabyte(self):
        self.check(1_000_000)

    def test_in_steps_of_a_kilobyte(self):
        self.check(1000)

    def test_twenty_of_twenty(self):
        sizes = [size for size in (1_000_000, 100_000, 10_000, 3000, 1000) for _ in range(4)]
        took = [self.seconds_to_die(self.containerd.new_id(), size) for size in sizes]
        print(" ".join(f"{seconds:.1f}" for seconds in took), flush=True)
        self.assertLess(max(took), SECONDS_TO_DIE, took)

    @only("kata", "the files of the container's cgroup are those of version 2, which a host may not have")
    def test_an_exec_dies_alone_and_others_are_answered(self):
        self.containerd.run_detached(self.name, self.shell(
            "n=0; while :; do n=$((n+1)); echo $n > /n; sleep 0.2; done"), *self.flags(), "--mount",
            "type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro:nosuid:noexec:nodev")
        with self.containerd.events() as events:
            with self.containerd.popen(*self.containerd.exec_arguments(
                    self.name, self.perl("greedy", 10_000))) as greedy:
                self.assert_near(greedy)
                begin = time.monotonic()
                # Its turn comes at the latest when the greedy one is gone.
                self.assert_output(self.containerd.exec(self.name, ["echo", "still"]), "still\n")
                self.assertLess(time.monotonic() - begin, SECONDS_TO_DIE)
                self.assert_killed(self.name, greedy.wait(300))
            self.assertTrue(events.wait_for(self.name, "/tasks/oom"))
        def count():
            return int(self.containerd.exec(self.name, ["cat", "/n"], check=True).out or 0)
        before = count()
        wait_until(lambda: count() > before, 30, "the container's own program goes on")
        done = self.containerd.exec(self.name, ["cat", "/sys/fs/cgroup/memory.max",
                                                "/sys/fs/cgroup/memory.events"], check=True)
        self.assertEqual(done.out.split()[0], str(LIMIT), "the limit is as before")
        self.assertRegex(done.out, r"oom_kill 1\n")


@only("kata", "runc's shim groups by another label")
class OthersInTheSandbox(MemoryCase):
    def test_go_on_and_are_answered(self):
        pod, member = self.name, f"{self.name}-m"
        words = ["--annotation", "io.kubernetes.cri.sandbox-id=" + pod, "--annotation"]
        self.containerd.run_detached(pod, self.shell(
            "n=0; while :; do n=$((n+1)); echo $n > /n; sleep 0.2; done"), *words,
            "io.kubernetes.cri.container-type=sandbox")
        with self.containerd.popen(*self.containerd.run_arguments(
                member, self.perl("greedy", 10_000), "--rm", *self.flags(), *words,
                "io.kubernetes.cri.container-type=container")) as greedy:
            self.assert_near(greedy)
            counts = []
            while greedy.poll() is None:
                counts.append(int(self.containerd.exec(pod, ["cat", "/n"], check=True).out or 0))
            self.assert_killed(member, greedy.returncode)
        after = int(self.containerd.exec(pod, ["cat", "/n"], check=True).out)
        self.assertGreater(after, counts[0], counts)
        self.assertEqual(self.containerd.status(pod), "RUNNING")


class WhoIsBusy(MemoryCase):
    """Each runs at its limit for longer than the watch needs."""

    def assert_lives(self, text, command, limit=LIMIT):
        name = self.containerd.new_id()
        done = self.containerd.run(name, command, "--rm", *self.flags(limit), timeout=300)
        self.assertEqual(done.code, 0, done)
        self.assertIn(text, done.out)

    @core
    def test_lives_when_it_reads_large_files(self):
        self.assert_lives("157286400", self.shell("cat /files/large | wc -c"), 16 * MIB)

    def test_lives_when_it_packs_files(self):
        self.assert_lives("packed", self.shell(
            "tar -c /files/small /perl | gzip -1 | wc -c > /dev/null && echo packed"), 8 * MIB)

    def test_lives_when_little_is_left_for_files(self):
        for held in (56, 60, 62):
            for how in ("read", "map"):
                with self.subTest(held=held, how=how):
                    self.assert_lives("times", ["/atlimit", str(held), how, "/files/small", "8"])

    def test_lives_when_its_own_text_comes_and_goes(self):
        for held in (50_000_000, 56_000_000, 58_000_000):
            with self.subTest(held=held):
                self.assert_lives("rounds some", self.perl("busy", held, 8))
