# SPDX-License-Identifier: Apache-2.0
"""clang-tidy with the project's .clang-tidy holds sources to what base/mutex.h lets them say."""

import os
import re
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A line that is wrong ends with the words that clang must have for it; all others must pass.
SOURCE = """
#include "base/mutex.h"

class Tally {
 public:
  void Add(int amount) KATA_EXCLUDES(mutex_) {
    const kata::MutexLock lock(mutex_);
    total_ += amount;
    changed_.NotifyAll();
  }
  int AwaitTen(kata::Deadline deadline) KATA_EXCLUDES(mutex_) {
    const kata::MutexLock lock(mutex_);
    changed_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) { return total_ >= 10; });
    (void)changed_.WaitUntil(mutex_, deadline, [this]() KATA_REQUIRES(mutex_) { return total_ > 0; });
    return total_;
  }
  void LetGoForAWhile() KATA_EXCLUDES(mutex_) {
    kata::MutexLock lock(mutex_);
    lock.Unlock();
    Add(1);
    lock.Lock();
    DropLocked();
  }
  bool TryDrop() KATA_EXCLUDES(mutex_) {
    if (!mutex_.TryLock()) return false;
    DropLocked();
    mutex_.Unlock();
    return true;
  }

  int Read() { return total_; }  // WRONG: reading variable 'total_'
  void Write() { total_ = 1; }  // WRONG: writing variable 'total_'
  void CallUnlocked() { DropLocked(); }  // WRONG: calling function 'DropLocked'
  void WaitUnlocked() {
    changed_.Wait(mutex_, []() { return true; });  // WRONG: calling function 'Wait
  }
  void LockTwice() {
    const kata::MutexLock lock(mutex_);
    Add(1);  // WRONG: cannot call function 'Add' while mutex 'mutex_' is held
  }
  void ConditionWithoutItsLock() {
    const kata::MutexLock lock(mutex_);
    changed_.Wait(mutex_, [this]() { return total_ == 1; });  // WRONG: reading variable 'total_'
  }
  void ReadAfterUnlock() {
    kata::MutexLock lock(mutex_);
    lock.Unlock();
    ++total_;  // WRONG: writing variable 'total_'
  }
  void KeepLocked() {
    mutex_.Lock();
  }  // WRONG: is still held at the end of function

 private:
  void DropLocked() KATA_REQUIRES(mutex_) { total_ = 0; }

  kata::Mutex mutex_;
  kata::CondVar changed_;
  int total_ KATA_GUARDED_BY(mutex_) = 0;
};
"""


class Locks(unittest.TestCase):
    def test_what_is_wrong_with_a_lock_is_an_error_and_nothing_else_is(self):
        with tempfile.TemporaryDirectory() as folder:
            source = f"{folder}/tally.cc"
            with open(source, "w") as file:
                file.write(SOURCE)
            done = subprocess.run(
                ["clang-tidy-19", f"--config-file={ROOT}/.clang-tidy", "-quiet", source, "--",
                 "-std=c++23", f"-I{ROOT}/src"], capture_output=True, text=True, timeout=300)
        self.assertNotEqual(done.returncode, 0, done.stderr)
        wanted = {number: line.partition("// WRONG: ")[2]
                  for number, line in enumerate(SOURCE.split("\n"), 1) if "// WRONG: " in line}
        found = {}
        for line, words in re.findall(
                r"tally\.cc:(\d+):\d+: error: (.*) \[clang-diagnostic-thread-safety", done.stdout):
            found.setdefault(int(line), words)
        self.assertEqual(sorted(found), sorted(wanted), done.stdout)
        for line, words in wanted.items():
            self.assertIn(words, found[line])
