// SPDX-License-Identifier: Apache-2.0
//
// testing/guest_init.cc - the first process of the guest that the driver's tests boot: takes one
// command a line from the agent's port and answers each with one line. On a kernel with modules it
// loads its drivers as the agent does.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "guest/agent/modules/module_loader.h"

namespace {

std::string ReadAll(const std::string& path) {
  std::string text;
  FILE* file = ::fopen(path.c_str(), "re");
  if (file == nullptr) return text;
  char buffer[4096];
  size_t n = 0;
  while ((n = ::fread(buffer, 1, sizeof buffer, file)) > 0) text.append(buffer, n);
  ::fclose(file);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

void Write(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] const ssize_t n = ::write(fd, text.data(), text.size());
  ::close(fd);
}

template <class Visit>
void ForEachEntry(const std::string& path, Visit visit) {
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) return;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] != '.') visit(std::string(entry->d_name));
  }
  ::closedir(dir);
}

// Tries `done` until it gives text, for half a minute at most.
template <class Attempt>
std::string Await(Attempt attempt) {
  for (int i = 0; i < 6000; ++i) {
    std::string text = attempt();
    if (!text.empty()) return text;
    ::usleep(5000);
  }
  return "timeout";
}

std::string Port() {
  return Await([] {
    std::string found;
    ForEachEntry("/sys/class/virtio-ports", [&](const std::string& name) {
      if (ReadAll("/sys/class/virtio-ports/" + name + "/name").find("agent") != std::string::npos) {
        found = "/dev/" + name;
      }
    });
    return found;
  });
}

// "<name> <sectors> <ro>" of the disk at a SCSI address ("scsi 0:3") or PCI path ("pci 0f/00").
std::string FindDisk(const std::string& kind, const std::string& where) {
  std::string found;
  std::string needle;
  if (kind == "scsi") {
    Write("/sys/class/scsi_host/host0/scan", "0 0 " + where.substr(where.find(':') + 1));
    needle = "0:0:" + where;
  } else {
    needle = "0000:00:" + where.substr(0, 2) + ".0/";
  }
  ForEachEntry("/sys/block", [&](const std::string& name) {
    char target[512] = {};
    const std::string path = "/sys/block/" + name;
    if (::readlink(path.c_str(), target, sizeof target - 1) < 0) return;
    if (strstr(target, needle.c_str()) != nullptr) {
      found = name + " " + ReadAll(path + "/size") + " " + ReadAll(path + "/ro");
    }
  });
  return found;
}

std::string OnlineCpus() {
  ForEachEntry("/sys/devices/system/cpu", [](const std::string& name) {
    Write("/sys/devices/system/cpu/" + name + "/online", "1");
  });
  return std::to_string(::sysconf(_SC_NPROCESSORS_ONLN));
}

std::string MemoryMib() {
  const std::string info = ReadAll("/proc/meminfo");
  return std::to_string(strtoull(info.c_str() + strcspn(info.c_str(), "0123456789"), nullptr, 10) /
                        1024);
}

std::string Run(const std::string& command, const std::string& first, const std::string& second) {
  if (command == "echo") return first;
  if (command == "cpus") {
    return Await([&] { return OnlineCpus() == first ? first : std::string(); });
  }
  if (command == "memory") return MemoryMib();
  if (command == "memory-above") {
    return Await([&] {
      const std::string now = MemoryMib();
      return strtoull(now.c_str(), nullptr, 10) > strtoull(first.c_str(), nullptr, 10) ? now : "";
    });
  }
  if (command == "disk") return Await([&] { return FindDisk(first, second); });
  if (command == "no-disk") {
    return Await([&] { return FindDisk(first, second).empty() ? std::string("gone") : ""; });
  }
  if (command == "share") {
    ::mkdir("/mnt", 0755);
    return Await([&] {
      if (::mount(first.c_str(), "/mnt", "virtiofs", 0, nullptr) != 0) return std::string();
      return "mounted " + ReadAll("/mnt/" + second);
    });
  }
  if (command == "unshare") {
    return Await([] { return ::umount2("/mnt", 0) == 0 ? std::string("gone") : ""; });
  }
  if (command == "nic") {
    return Await([&] {
      std::string found;
      ForEachEntry("/sys/class/net", [&](const std::string& name) {
        if (ReadAll("/sys/class/net/" + name + "/address") == first) found = name;
      });
      return found;
    });
  }
  if (command == "cmdline") return ReadAll("/proc/cmdline");
  if (command == "uptime") return ReadAll("/proc/uptime");
  if (command == "rescan") {
    Write("/sys/bus/pci/rescan", "1");
    return "done";
  }
  if (command == "flood") {
    const std::string line(120, 'f');
    for (int i = 0; i < 10000; ++i) ::printf("%d %s\n", i, line.c_str());
    ::fflush(stdout);
    return "flooded";
  }
  if (command == "panic") Write("/proc/sysrq-trigger", "c");
  if (command == "reboot") ::reboot(RB_AUTOBOOT);
  if (command == "poweroff") ::reboot(RB_POWER_OFF);
  return "unknown command";
}

}  // namespace

int main(int argc, char** argv) {
  if (kata::guest::IsModprobe(argc, argv)) return kata::guest::ModprobeMain(argc, argv);
  for (const char* dir : {"/proc", "/sys", "/dev"}) ::mkdir(dir, 0755);
  ::mount("proc", "/proc", "proc", 0, nullptr);
  ::mount("sysfs", "/sys", "sysfs", 0, nullptr);
  ::mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr);
  const std::string missing_drivers = kata::guest::LoadBootModules();
  const int console = ::open("/dev/console", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(console, fd);
  ::printf("%stest guest is up\n", missing_drivers.c_str());
  ::fflush(stdout);

  FILE* port = ::fopen(Port().c_str(), "r+e");
  if (port == nullptr) return 1;
  ::setvbuf(port, nullptr, _IONBF, 0);
  char line[512];
  for (;;) {
    if (::fgets(line, sizeof line, port) == nullptr) {
      // The port reads as ended while the host's end is closed.
      ::clearerr(port);
      ::usleep(10000);
      continue;
    }
    char command[64] = {};
    char first[256] = {};
    char second[256] = {};
    ::sscanf(line, "%63s %255s %255s", command, first, second);
    const std::string answer = Run(command, first, second) + "\n";
    ::fwrite(answer.data(), 1, answer.size(), port);
  }
}
