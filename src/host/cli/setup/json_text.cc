// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/json_text.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace kata::cli::setup {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kJsonSpace = " \t\r\n";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Where a member stands in the text: [begin, end), and the part of it that is the value.
struct MemberSpan {
  std::string name;
  size_t begin = 0;
  size_t value = 0;
  size_t end = 0;
};

struct ObjectSpan {
  size_t open = 0;   // of "{"
  size_t close = 0;  // of "}"
  std::vector<MemberSpan> members;
};

// Walks over text that is known to be JSON.
class JsonWalker {
 public:
  JsonWalker(std::string_view text, size_t at) : text_(text), at_(at) {}

  ObjectSpan Object() {
    ObjectSpan object{.open = SkipSpace()};
    ++at_;
    while (Peek() != '}') {
      if (Peek() == ',') ++at_;
      MemberSpan member{.begin = SkipSpace()};
      SkipString();
      member.name = OrderedJson::parse(text_.substr(member.begin, at_ - member.begin));
      SkipSpace();
      ++at_;
      member.value = SkipSpace();
      SkipValue();
      member.end = at_;
      object.members.push_back(std::move(member));
    }
    object.close = at_++;
    return object;
  }

 private:
  size_t SkipSpace() {
    at_ = std::min(text_.find_first_not_of(kJsonSpace, at_), text_.size());
    return at_;
  }

  char Peek() {
    SkipSpace();
    // The end of a text that is no JSON would be an endless object.
    return at_ < text_.size() ? text_[at_] : '}';
  }

  void SkipString() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
    ++at_;
  }

  void SkipValue() {
    int depth = 0;
    do {
      const char c = text_[at_];
      if (c == '"') {
        SkipString();
      } else if (c == '{' || c == '[') {
        ++depth, ++at_;
      } else if (c == '}' || c == ']') {
        --depth, ++at_;
      } else if (depth > 0) {
        ++at_;
      } else {
        at_ = std::min(text_.find_first_of(",]} \t\r\n", at_), text_.size());
      }
    } while (depth > 0 && at_ < text_.size());
  }

  std::string_view text_;
  size_t at_;
};

ObjectSpan TopObject(std::string_view text) {
  return JsonWalker(text, text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0).Object();
}

Result<const MemberSpan*> FindIn(const ObjectSpan& object, std::string_view name) {
  const MemberSpan* found = nullptr;
  for (const MemberSpan& member : object.members) {
    if (member.name != name) continue;
    if (found != nullptr) {
      return Fail(Code::kInvalidArgument, fmt::format("\"{}\" stands twice", name));
    }
    found = &member;
  }
  return found;
}

// How the text is laid out around an object.
struct JsonLayout {
  bool lines = false;       // a member a line
  std::string line_end;     // "\n" or "\r\n"
  std::string indent;       // of the object's members
  std::string outer;        // of the line that opens the object
  std::string unit = "  ";  // what one level adds
};

std::string IndentOfLine(std::string_view text, size_t at) {
  const size_t newline = text.rfind('\n', at);
  const size_t begin = newline == text.npos ? 0 : newline + 1;
  const size_t end = std::min(text.find_first_not_of(" \t", begin), text.size());
  return std::string(text.substr(begin, std::min(end, at) - begin));
}

JsonLayout LayoutOf(std::string_view text, const ObjectSpan& object, const ObjectSpan& top) {
  JsonLayout layout{.line_end = text.contains("\r\n") ? "\r\n" : "\n",
                    .outer = IndentOfLine(text, object.open)};
  const auto lead = [text](const ObjectSpan& of) {
    return text.substr(of.open + 1, of.members.front().begin - of.open - 1);
  };
  if (!top.members.empty() && lead(top).contains('\n')) {
    const std::string first = IndentOfLine(text, top.members.front().begin);
    if (!first.empty()) layout.unit = first;
  }
  if (!object.members.empty()) {
    layout.lines = lead(object).contains('\n');
    layout.indent = IndentOfLine(text, object.members.front().begin);
  } else {
    // An empty object in a text of one line stays in it.
    layout.lines = object.open == top.open || text.substr(0, object.open).contains('\n');
    layout.indent = layout.outer + layout.unit;
  }
  return layout;
}

std::string FormatJson(const OrderedJson& value, const JsonLayout& layout,
                       const std::string& indent) {
  if (!layout.lines || !value.is_object() || value.empty()) {
    std::string text = value.dump();
    return text;
  }
  std::string text = "{";
  for (const auto& [name, inner] : value.items()) {
    text += fmt::format("{}{}{}{}: {}", text.size() == 1 ? "" : ",", layout.line_end,
                        indent + layout.unit, OrderedJson(name).dump(),
                        FormatJson(inner, layout, indent + layout.unit));
  }
  return text + layout.line_end + indent + "}";
}

std::string Inserted(std::string_view text, const ObjectSpan& object, const ObjectSpan& top,
                     std::string_view name, const OrderedJson& value) {
  const JsonLayout layout = LayoutOf(text, object, top);
  const std::string member =
      fmt::format("{}: {}", OrderedJson(name).dump(), FormatJson(value, layout, layout.indent));
  const std::string line = layout.lines ? layout.line_end + layout.indent : "";
  std::string result(text);
  if (object.members.empty()) {
    const std::string end = layout.lines ? layout.line_end + layout.outer : "";
    return result.replace(object.open + 1, object.close - object.open - 1, line + member + end);
  }
  return result.insert(object.members.back().end,
                       layout.lines ? "," + line + member : ", " + member);
}

std::string Removed(std::string_view text, const ObjectSpan& object, const MemberSpan& member) {
  size_t begin = member.begin;
  size_t end = member.end;
  if (object.members.size() == 1) {
    begin = object.open + 1;
    end = object.close;
  } else if (&member == &object.members.front()) {
    end = object.members[1].begin;
  } else {
    begin = (&member - 1)->end;
  }
  return std::string(text).erase(begin, end - begin);
}

// The chain of objects that exist on the way to the member, outermost first, and the member.
struct JsonPlace {
  std::vector<ObjectSpan> objects;
  std::optional<MemberSpan> member;
};

Result<JsonPlace> Locate(std::string_view text, JsonPath path) {
  JsonPlace place;
  place.objects.push_back(TopObject(text));
  for (size_t depth = 0; depth < path.size(); ++depth) {
    const MemberSpan* found = KATA_TRY(FindIn(place.objects.back(), path[depth]));
    if (found == nullptr) return place;
    if (depth + 1 == path.size()) {
      place.member = *found;
    } else if (text[found->value] != '{') {
      return Fail(Code::kInvalidArgument, fmt::format("\"{}\" is not an object", path[depth]));
    } else {
      place.objects.push_back(JsonWalker(text, found->value).Object());
    }
  }
  return place;
}

OrderedJson::json_pointer Pointer(JsonPath path) {
  OrderedJson::json_pointer pointer;
  for (const std::string_view name : path) pointer.push_back(std::string(name));
  return pointer;
}

Result<std::string> Proven(std::string result, const OrderedJson& expected) {
  if (OrderedJson::parse(result, nullptr, false) != expected) {
    return Fail(Code::kInternal, "the changed JSON text does not say what it should");
  }
  return result;
}

}  // namespace

Result<void> CheckJsonObject(std::string_view text, std::string_view origin) {
  try {
    if (OrderedJson::parse(text).is_object()) return {};
    return Fail(Code::kInvalidArgument, fmt::format("{}:1:1: not a JSON object", origin));
  } catch (const OrderedJson::parse_error& error) {
    const size_t at = std::min(text.size(), error.byte == 0 ? 0 : error.byte - 1);
    const std::string_view before = text.substr(0, at);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t column = at - (before.rfind('\n') + 1) + 1;
    const std::string_view all = error.what();
    const size_t reason = all.rfind("; ");
    return Fail(Code::kInvalidArgument,
                fmt::format("{}:{}:{}: not valid JSON: {}", origin, line, column,
                            reason == all.npos ? all : all.substr(reason + 2)));
  }
}

Result<std::optional<std::string>> GetMember(std::string_view text, JsonPath path) {
  const JsonPlace place = KATA_TRY(Locate(text, path));
  if (!place.member) return std::nullopt;
  const MemberSpan& member = *place.member;
  return OrderedJson::parse(text.substr(member.value, member.end - member.value)).dump();
}

Result<std::string> SetMember(std::string_view text, JsonPath path, std::string_view value) {
  const JsonPlace place = KATA_TRY(Locate(text, path));
  OrderedJson wanted = OrderedJson::parse(value);
  OrderedJson expected = OrderedJson::parse(text);
  expected[Pointer(path)] = wanted;
  const ObjectSpan& object = place.objects.back();
  if (place.member) {
    const JsonLayout layout = LayoutOf(text, object, place.objects.front());
    const size_t size = place.member->end - place.member->value;
    return Proven(std::string(text).replace(place.member->value, size,
                                            FormatJson(wanted, layout, layout.indent)),
                  expected);
  }
  const size_t known = place.objects.size() - 1;
  for (size_t depth = path.size() - 1; depth > known; --depth) {
    OrderedJson outer = OrderedJson::object();
    outer[std::string(path[depth])] = std::move(wanted);
    wanted = std::move(outer);
  }
  return Proven(Inserted(text, object, place.objects.front(), path[known], wanted), expected);
}

Result<std::string> RemoveMember(std::string_view text, JsonPath path) {
  const JsonPlace place = KATA_TRY(Locate(text, path));
  if (!place.member) return std::string(text);
  OrderedJson expected = OrderedJson::parse(text);
  OrderedJson* holder = &expected;
  for (const std::string_view name : path.first(path.size() - 1)) {
    holder = &(*holder)[std::string(name)];
  }
  holder->erase(std::string(path.back()));
  const ObjectSpan& object = place.objects.back();
  const MemberSpan* member = KATA_TRY(FindIn(object, path.back()));
  return Proven(Removed(text, object, *member), expected);
}

}  // namespace kata::cli::setup
