// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/boot_files.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "sys/fd.h"
#include "sys/files.h"

namespace kata::hypervisor {
namespace {

constexpr std::string_view kRemedy =
    "build or install the guest files again, or correct the path in configuration.toml";

// XEN_ELFNOTE_PHYS32_ENTRY of the Xen PVH boot protocol.
constexpr uint32_t kPvhEntryNote = 18;

struct BootFile {
  const char* what;
  std::string path;
  sys::UniqueFd fd;
  uint64_t size = 0;

  std::unexpected<Error> Refuse(std::string_view reason) const {
    return Fail(Code::kInvalidArgument,
                fmt::format("{} \"{}\": {}; {}", what, path, reason, kRemedy));
  }

  // Exactly `length` bytes at `offset`; fewer in the file mean that it is truncated.
  Result<std::string> ReadAt(uint64_t offset, size_t length) const {
    std::string bytes(length, '\0');
    const ssize_t n = sys::RetryOnEintr(
        [&] { return ::pread(fd.get(), bytes.data(), length, static_cast<off_t>(offset)); });
    if (n < 0) return FailErrno(fmt::format("read {}", what), path);
    if (static_cast<size_t>(n) != length) return Refuse("truncated");
    return bytes;
  }
};

Result<BootFile> OpenBootFile(const char* what, const std::string& path) {
  if (path.empty()) {
    return Fail(Code::kInvalidArgument, fmt::format("no {} configured; {}", what, kRemedy));
  }
  auto fd = sys::Open(path, O_RDONLY);
  if (!fd) {
    return Fail(fd.error().code(), fmt::format("{}: {}; {}", what, fd.error().message(), kRemedy));
  }
  BootFile file{what, path, *std::move(fd)};
  struct stat status{};
  if (::fstat(file.fd.get(), &status) != 0) return FailErrno("stat", path);
  if (S_ISDIR(status.st_mode)) return file.Refuse("is a directory");
  file.size = static_cast<uint64_t>(status.st_size);
  if (S_ISREG(status.st_mode) && file.size == 0) return file.Refuse("empty file");
  return file;
}

bool HasPvhNote(std::string_view notes) {
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr header;
    std::memcpy(&header, notes.data(), sizeof header);
    const uint64_t name_size = (uint64_t{header.n_namesz} + 3) & ~uint64_t{3};
    const uint64_t value_size = (uint64_t{header.n_descsz} + 3) & ~uint64_t{3};
    if (sizeof header + name_size + value_size > notes.size()) return false;
    const std::string_view name = notes.substr(sizeof header, header.n_namesz);
    if (header.n_type == kPvhEntryNote && name == std::string_view("Xen\0", 4)) return true;
    notes.remove_prefix(sizeof header + name_size + value_size);
  }
  return false;
}

Result<void> CheckElf(const BootFile& file) {
  Elf64_Ehdr header;
  const std::string first = KATA_TRY(file.ReadAt(0, sizeof header));
  std::memcpy(&header, first.data(), sizeof header);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64) {
    return file.Refuse("an ELF file, but not for x86-64");
  }
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 || header.e_phnum > 64) {
    return file.Refuse("an ELF file without program headers");
  }
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  const size_t table_size = segments.size() * sizeof(Elf64_Phdr);
  const std::string table = KATA_TRY(file.ReadAt(header.e_phoff, table_size));
  std::memcpy(segments.data(), table.data(), table_size);
  bool pvh = false;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_offset > file.size || segment.p_filesz > file.size - segment.p_offset) {
      return file.Refuse(fmt::format("truncated: {} bytes, but a segment ends at {}", file.size,
                                     segment.p_offset + segment.p_filesz));
    }
    if (segment.p_type == PT_NOTE && segment.p_filesz <= (64 << 10)) {
      pvh = pvh || HasPvhNote(KATA_TRY(file.ReadAt(segment.p_offset, segment.p_filesz)));
    }
  }
  if (!pvh) return file.Refuse("an ELF file without a PVH entry note (CONFIG_PVH)");
  return {};
}

// The header of the x86 boot protocol (Documentation/arch/x86/boot.rst in Linux).
Result<void> CheckBzImage(const BootFile& file) {
  const std::string setup = KATA_TRY(file.ReadAt(0x1f1, 16));
  const auto byte = [&](size_t i) { return static_cast<uint64_t>(static_cast<uint8_t>(setup[i])); };
  const uint64_t setup_sectors = byte(0) == 0 ? 4 : byte(0);
  const uint64_t paragraphs = byte(3) | byte(4) << 8 | byte(5) << 16 | byte(6) << 24;
  const uint64_t expected = (setup_sectors + 1) * 512 + paragraphs * 16;
  if (file.size < expected) {
    return file.Refuse(
        fmt::format("truncated: {} bytes, but its header says {}", file.size, expected));
  }
  return {};
}

}  // namespace

Result<void> CheckKernel(const std::string& path) {
  const BootFile file = KATA_TRY(OpenBootFile("guest kernel", path));
  if (file.size < 0x206) return file.Refuse("truncated");
  if (KATA_TRY(file.ReadAt(0, SELFMAG)) == std::string_view(ELFMAG, SELFMAG)) return CheckElf(file);
  if (KATA_TRY(file.ReadAt(0x202, 4)) == "HdrS") return CheckBzImage(file);
  return file.Refuse("neither an ELF kernel nor a bzImage");
}

Result<void> CheckInitrd(const std::string& path) {
  using namespace std::string_view_literals;
  const BootFile file = KATA_TRY(OpenBootFile("guest initrd", path));
  if (file.size < 128) return file.Refuse("truncated");
  const std::string start = KATA_TRY(file.ReadAt(0, 6));
  for (const std::string_view magic :
       {"070701"sv, "070702"sv, "\x1f\x8b"sv, "\x28\xb5\x2f\xfd"sv, "\x02\x21\x4c\x18"sv,
        "\xfd"
        "7zXZ"sv}) {
    if (start.starts_with(magic)) return {};
  }
  return file.Refuse("not a cpio archive, plain or compressed");
}

Result<void> CheckImage(const std::string& path) {
  const BootFile file = KATA_TRY(OpenBootFile("guest image", path));
  struct stat status{};
  if (::fstat(file.fd.get(), &status) != 0) return FailErrno("stat", path);
  if (S_ISREG(status.st_mode) && file.size < 512) return file.Refuse("truncated");
  return {};
}

}  // namespace kata::hypervisor
