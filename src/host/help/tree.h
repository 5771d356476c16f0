// SPDX-License-Identifier: Apache-2.0
//
// host/help/tree.h - what a program's --help says, as data.
//
// scripts/generate-help makes manual pages and completions from it, so that they say what the
// program says. Programs print it when their only argument is kDumpWord, which no help mentions.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace kata::help {

inline constexpr char kDumpWord[] = "--dump-help";

struct Option {
  std::vector<std::string> names;    // with dashes, the long ones first
  std::string value;                 // what stands for its value; empty: it takes none
  std::vector<std::string> choices;  // the only values, where these are few
  std::string help;
  std::string otherwise;  // the value when it is not given; empty: not said
};

struct Tree {
  std::string name;
  std::vector<std::string> aliases;
  std::string summary;
  std::string words;   // what follows the options, as a synopsis has it: "CONTAINER [SIGNAL]"
  std::string footer;  // "Examples:" and other sections, and text without a heading
  // The first word ends the options: what follows is not this program's.
  bool words_end_options = false;
  std::vector<Option> options;
  std::vector<Tree> commands;
};

// The words of the line; those with "|" between them are choices: "auto|true|false".
std::vector<std::string> SplitChoices(const std::string& value);

// A command of CLI11 with all below it.
Tree ReadApp(const CLI::App& app);

// One JSON object; its members are those of Tree.
std::string RenderJson(const Tree& tree);

}  // namespace kata::help
