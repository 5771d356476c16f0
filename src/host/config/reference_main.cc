// SPDX-License-Identifier: Apache-2.0
//
// Prints what the table of keys generates, for the files that are kept in the repository:
//   kata-config-reference markdown | toml
#include <cstdio>
#include <string>
#include <string_view>

#include "host/config/render.h"

int main(int argc, char** argv) {
  const std::string_view form = argc == 2 ? argv[1] : "";
  std::string text;
  if (form == "markdown") text = kata::config::RenderReference();
  if (form == "toml") text = kata::config::RenderDefaultFile();
  if (text.empty()) {
    std::fputs("usage: kata-config-reference markdown | toml\n", stderr);
    return 2;
  }
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
