// SPDX-License-Identifier: Apache-2.0
#include "host/help/tree.h"

#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace kata::help {
namespace {

using TreeJson = nlohmann::ordered_json;

std::vector<std::string> SplitAt(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// CLI11 spells a value that must be one of few as "LEVEL:{trace,debug}", and what other checks say
// likewise: "N:INT in [1 - 9]".
void ReadValue(std::string_view type, Option* option) {
  const size_t brace = type.find(":{");
  option->value = type.substr(0, type.find(':'));
  if (brace != std::string_view::npos && type.ends_with('}')) {
    option->choices = SplitAt(type.substr(brace + 2, type.size() - brace - 3), ',');
  } else {
    option->choices = SplitChoices(option->value);
  }
}

Option ReadOption(const CLI::Option& from) {
  Option option{.help = from.get_description(), .otherwise = from.get_default_str()};
  for (const std::string& name : from.get_lnames()) option.names.push_back("--" + name);
  for (const std::string& name : from.get_snames()) option.names.push_back("-" + name);
  // A flag has no type, and takes none.
  if (from.get_items_expected_max() > 0) ReadValue(from.get_type_name(), &option);
  return option;
}

// "FILE", "[FILE]", "FILE..." as a synopsis has it.
std::string PositionalWord(const CLI::Option& from) {
  std::string word = from.get_name(true);
  if (from.get_items_expected_max() > 1) word += "...";
  return from.get_required() ? word : "[" + word + "]";
}

TreeJson ToJson(const Option& option) {
  return {{"names", option.names},
          {"value", option.value},
          {"choices", option.choices},
          {"help", option.help},
          {"default", option.otherwise}};
}

TreeJson ToJson(const Tree& tree) {
  TreeJson options = TreeJson::array();
  for (const Option& option : tree.options) options.push_back(ToJson(option));
  TreeJson commands = TreeJson::array();
  for (const Tree& command : tree.commands) commands.push_back(ToJson(command));
  return {{"name", tree.name},
          {"aliases", tree.aliases},
          {"summary", tree.summary},
          {"words", tree.words},
          {"footer", tree.footer},
          {"words_end_options", tree.words_end_options},
          {"options", std::move(options)},
          {"commands", std::move(commands)}};
}

}  // namespace

std::vector<std::string> SplitChoices(const std::string& value) {
  if (value.find('|') == std::string::npos) return {};
  return SplitAt(value, '|');
}

Tree ReadApp(const CLI::App& app) {
  Tree tree{.name = app.get_name(),
            .aliases = app.get_aliases(),
            .summary = app.get_description(),
            .footer = app.get_footer()};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;  // hidden
    if (option->nonpositional()) {
      tree.options.push_back(ReadOption(*option));
    } else {
      tree.words += (tree.words.empty() ? "" : " ") + PositionalWord(*option);
    }
  }
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty()) tree.commands.push_back(ReadApp(*command));
  }
  return tree;
}

std::string RenderJson(const Tree& tree) { return ToJson(tree).dump(1) + "\n"; }

}  // namespace kata::help
