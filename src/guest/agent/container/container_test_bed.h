// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/container_test_bed.h - real containers on the machine that runs the tests,
// made from busybox.
//
// The test program moves into a private mount namespace; the containers' cgroups are below the
// version 2 hierarchy of the machine.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "guest/agent/container/container.h"

namespace kata::guest {

// Where version 2 is mounted; empty where it is not.
std::string CgroupRootOfMachine();

struct Outcome {
  Result<void> made = {};  // the child's own error, if it reported one
  int status = -1;         // of waitpid
  std::string out;         // standard output and error together
  int exit_code() const;   // -1 after a signal
};

class ContainerTest : public testing::Test {
 protected:
  static void SetUpTestSuite();
  void SetUp() override;
  void TearDown() override;

  oci::Process* process() { return spec_.mutable_process(); }
  oci::Linux* linux_part() { return spec_.mutable_linux(); }
  void AddMount(const std::string& destination, const std::string& type, const std::string& source,
                std::initializer_list<const char*> options);
  static void SetArgs(oci::Process* process, std::initializer_list<const char*> args);
  void SetScript(const std::string& script);

  Result<Container::Created> Create(ProcessStdio stdio);
  // The next report that is one.
  static ProcessReport Await(const PendingProcess& process);
  // Output and errors go to `out`.
  static ProcessStdio Captured(sys::Pipe* out);
  // What comes out of a terminal until nobody has it open any more.
  static std::string ReadTerminal(int master);
  // Starts what was created and waits for its end.
  static void Finish(PendingProcess* process, int out, Outcome* outcome);
  static void Remove(Container* container);

  // The spec's process from beginning to end.
  Outcome Run();
  // The output of a script that must succeed.
  std::string RunScript(const std::string& script);
  // The same in a terminal: what came out of that.
  std::string RunInTerminal(const std::string& script);
  // The error of a container that must not start.
  Error RunForError();

  std::string dir_;     // a tmpfs for the test's files
  std::string rootfs_;  // in it
  oci::Spec spec_;      // such as containerd makes, without the parts that a test is about
};

// A container whose first process sleeps.
class ExecTest : public ContainerTest {
 protected:
  void Begin();
  void TearDown() override;
  static oci::Process Script(const std::string& script);
  Outcome Exec(const oci::Process& process);

  std::unique_ptr<Container> container_;
  pid_t init_ = -1;
};

}  // namespace kata::guest
