# SPDX-License-Identifier: Apache-2.0
"""The clock of a machine."""

import time

from support.case import ContainerdCase, only

NEXT_SECOND = "a=$(date +%s); while [ $(date +%s) = $a ]; do :; done; date +%s"
SECONDS = 10


@only("kata", "runc's containers have the host's clock")
class Clock(ContainerdCase):
    def next_second(self):
        """The guest's time as a second begins there, and the host's."""
        done = self.containerd.exec(self.name, ["sh", "-c", NEXT_SECOND])
        self.assert_code(done, 0)
        return int(done.out), time.time()

    def test_it_goes_as_fast_as_the_hosts(self):
        self.containerd.run_detached(self.name, ["sleep", "1000"], timeout=90)
        guest, host = self.next_second()
        time.sleep(SECONDS)
        guest_later, host_later = self.next_second()
        self.assertLess(abs((guest_later - guest) / (host_later - host) - 1), 0.2)
