// SPDX-License-Identifier: Apache-2.0
//
// host/record/record.h - what a sandbox has made on the host, written down.
//
// The shim writes the record before or as it makes a thing, so that `delete` can remove everything
// after the shim was killed at any moment (see cleanup.h). One JSON file per sandbox,
// /run/vc/sbs/<sandbox id>/record.json:
//   {"version":1,"id":"ab12","owner":"/run/containerd/s/00ff","containers":["ab12"],
//    "processes":[{"pid":77,"start_time":123456,"role":"vmm"}],
//    "paths":["/run/vc/vm/ab12"],"cgroups":[],"sockets":[],
//    "networks":[{"namespace":"/run/netns/x","device":4,"inode":4026532,"interface":"eth0",
//                 "link":2,"tap":"tap0_kata","model":"tcfilter"}],
//    "uppers":[{"directory":"/var/lib/docker/overlay2/00ff","device":65,"inode":77,"uid":0,"gid":0,
//               "mode":16832,"upper":"diff","work":"work","entries":["diff","link","work"]}]}
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/network/connection.h"
#include "host/storage/upper_trace.h"
#include "sys/fd.h"
#include "sys/netns.h"

namespace kata::sandbox {

enum class ProcessRole { kShim, kVmm, kVirtiofsd, kLogger };

// A process that cannot be mistaken for a later one with the same number.
struct ProcessEntry {
  pid_t pid = 0;
  uint64_t start_time = 0;  // clock ticks since boot, field 22 of /proc/<pid>/stat
  ProcessRole role = ProcessRole::kVmm;

  friend bool operator==(const ProcessEntry&, const ProcessEntry&) = default;
};

// A connection of the machine with an interface of its network namespace.
struct NetworkEntry {
  // Where the namespace is bound; empty for one that is gone with its processes.
  std::string namespace_path;
  sys::NamespaceId namespace_id;
  network::Connection connection;

  friend bool operator==(const NetworkEntry&, const NetworkEntry&) = default;
};

struct SandboxRecord {
  std::string id;
  // The socket of the shim that made the sandbox. Ids are unique within one of containerd's
  // namespaces only, this path is unique on the host.
  std::string owner;
  std::vector<std::string> containers;
  std::vector<ProcessEntry> processes;
  std::vector<std::string> paths;    // files and directories of the sandbox alone
  std::vector<std::string> cgroups;  // directories of cgroups that the sandbox alone uses
  std::vector<std::string> sockets;  // unix sockets, paths without "unix://"
  std::vector<NetworkEntry> networks;
  std::vector<storage::UpperTrace> uppers;  // those that IsRecordable

  friend bool operator==(const SandboxRecord&, const SandboxRecord&) = default;
};

// Whether it can come back from a record as it is: few entries, whose names are printable ASCII. It
// is so unless somebody has filled the directory with names of his own.
bool IsRecordable(const storage::UpperTrace& trace);

inline constexpr char kRecordsRoot[] = "/run/vc/sbs";

// <root>/<sandbox id>, the directory that holds the record.
std::string RecordDir(const std::string& sandbox_id, const std::string& root = kRecordsRoot);

// Waits for whoever holds it: two sandboxes that begin at once must see each other's records. Ends
// with the descriptor.
Result<sys::UniqueFd> LockRecords(const std::string& root = kRecordsRoot);

// Makes the directory when it is missing and replaces the record at once: a reader sees the old or
// the new one. Mode 0600. One writer at a time.
// Errors  kInvalidArgument  the id cannot be a directory's name; else the file system's
Result<void> SaveRecord(const SandboxRecord& record, const std::string& root = kRecordsRoot);

// Errors  kNotFound  there is no record
//         kDataLoss  the record is truncated, not ours, of another sandbox, or beyond its bounds
//                    (1 MiB, 4096 entries a list)
Result<SandboxRecord> LoadRecord(const std::string& sandbox_id,
                                 const std::string& root = kRecordsRoot);

// The two halves of the above, without files.
std::string FormatRecord(const SandboxRecord& record);
Result<SandboxRecord> ParseRecord(const std::string& text);

// When the process `pid` started, in clock ticks since boot.
// Errors  kNotFound  there is no such process
Result<uint64_t> ProcessStartTime(pid_t pid);

// The entry of a process that runs now.
Result<ProcessEntry> DescribeProcess(pid_t pid, ProcessRole role);

// True while that very process exists and is not a zombie.
bool IsAlive(const ProcessEntry& process);

// Takes a process that has ended out of the record; one that has its number by now stays.
void ForgetEnded(SandboxRecord* record, pid_t pid);

}  // namespace kata::sandbox
