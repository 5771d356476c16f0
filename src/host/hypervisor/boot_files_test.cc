// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/boot_files.h"

#include <elf.h>
#include <unistd.h>

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::hypervisor {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class BootFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-boot-files-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { (void)sys::RemoveTree(dir_); }

  std::string File(const std::string& content) {
    const std::string path = dir_ + "/file";
    EXPECT_TRUE(sys::WriteFile(path, content));
    return path;
  }

  static std::string Elf(bool pvh) {
    std::string bytes(4096, '\0');
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_machine = EM_X86_64;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    Elf64_Phdr load{};
    load.p_type = PT_LOAD;
    load.p_offset = 1024;
    load.p_filesz = 3072;
    Elf64_Phdr note{};
    note.p_type = PT_NOTE;
    note.p_offset = 512;
    note.p_filesz = 20;
    const uint32_t words[] = {4, 4, pvh ? 18u : 6u};
    std::memcpy(bytes.data(), &header, sizeof header);
    std::memcpy(bytes.data() + sizeof header, &load, sizeof load);
    std::memcpy(bytes.data() + sizeof header + sizeof load, &note, sizeof note);
    std::memcpy(bytes.data() + 512, words, sizeof words);
    std::memcpy(bytes.data() + 512 + sizeof words, "Xen", 4);
    return bytes;
  }

  std::string dir_;
};

TEST_F(BootFiles, AcceptsAPvhKernel) {
  const auto checked = CheckKernel(File(Elf(true)));
  EXPECT_TRUE(checked) << checked.error().message();
}

TEST_F(BootFiles, RefusesAnElfWithoutPvhEntry) {
  EXPECT_THAT(CheckKernel(File(Elf(false))).error().message(), HasSubstr("PVH"));
}

TEST_F(BootFiles, NamesATruncatedKernel) {
  const auto checked = CheckKernel(File(Elf(true).substr(0, 2000)));
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(checked.error().message(),
              AllOf(HasSubstr(dir_ + "/file"), HasSubstr("truncated: 2000 bytes"),
                    HasSubstr("configuration.toml")));
  for (size_t size : {1u, 4u, 63u, 64u, 600u}) {
    EXPECT_FALSE(CheckKernel(File(Elf(true).substr(0, size)))) << size;
  }
}

TEST_F(BootFiles, ChecksABzImageAgainstItsHeader) {
  std::string image(512 * 5 + 1600, '\0');
  image[0x1f1] = 4;
  image[0x1f4] = 100;
  std::memcpy(image.data() + 0x202, "HdrS", 4);
  EXPECT_TRUE(CheckKernel(File(image)));
  EXPECT_THAT(CheckKernel(File(image.substr(0, 3000))).error().message(), HasSubstr("truncated"));
}

TEST_F(BootFiles, MissingFilesAndOtherThings) {
  EXPECT_EQ(CheckKernel(dir_ + "/none").error().code(), Code::kNotFound);
  EXPECT_THAT(CheckKernel(dir_ + "/none").error().message(), HasSubstr("No such file"));
  EXPECT_THAT(CheckKernel(dir_).error().message(), HasSubstr("is a directory"));
  EXPECT_THAT(CheckKernel(File("")).error().message(), HasSubstr("empty file"));
  EXPECT_THAT(CheckKernel(File(std::string(2000, 'x'))).error().message(),
              HasSubstr("neither an ELF kernel nor a bzImage"));
  EXPECT_THAT(CheckKernel("").error().message(), HasSubstr("no guest kernel configured"));
}

TEST_F(BootFiles, InitrdsAreKnownByTheirFirstBytes) {
  EXPECT_TRUE(CheckInitrd(File("\x1f\x8b" + std::string(200, 'x'))));
  EXPECT_TRUE(CheckInitrd(File("070701" + std::string(200, '0'))));
  EXPECT_TRUE(CheckInitrd(File("\x28\xb5\x2f\xfd" + std::string(200, 'x'))));
  EXPECT_THAT(CheckInitrd(File("\x1f\x8b")).error().message(), HasSubstr("truncated"));
  EXPECT_THAT(CheckInitrd(File(std::string(200, 'x'))).error().message(),
              HasSubstr("not a cpio archive"));
  EXPECT_THAT(CheckImage(File("tiny")).error().message(), HasSubstr("truncated"));
}

}  // namespace
}  // namespace kata::hypervisor
