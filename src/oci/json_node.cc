// SPDX-License-Identifier: Apache-2.0
#include "oci/json_node.h"

#include <strings.h>

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace kata::oci {
namespace {

using Json = nlohmann::json;

constexpr size_t kPreviewBytes = 60;

// The deepest nesting of arrays and objects in `text`, valid JSON or not.
size_t Depth(std::string_view text) {
  size_t depth = 0;
  size_t deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if ((c == ']' || c == '}') && depth > 0) --depth;
  }
  return deepest;
}

std::string Position(std::string_view text, size_t byte) {
  const std::string_view before = text.substr(0, std::min(byte == 0 ? 0 : byte - 1, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t line_start = before.rfind('\n');
  const size_t column = line_start == before.npos ? before.size() + 1 : before.size() - line_start;
  return fmt::format("line {}, column {}", line, column);
}

// The library's explanation without its own prefix and position, which Position() gives.
std::string Explanation(const Json::parse_error& error) {
  std::string text = error.what();
  const size_t colon = text.find(": ");
  if (colon != text.npos) text.erase(0, colon + 2);
  if (text.size() > 200) text.resize(200);
  return text;
}

std::string Preview(const Json& json) {
  if (json.is_object()) return "an object";
  if (json.is_array()) return "an array";
  std::string text = json.dump(-1, ' ', true);
  if (text.size() > kPreviewBytes) text = text.substr(0, kPreviewBytes) + "...";
  return text;
}

bool IsName(std::string_view name, std::string_view key) {
  return name.size() == key.size() && ::strncasecmp(name.data(), key.data(), key.size()) == 0;
}

// What Go's encoder would leave out under omitempty.
bool IsEmpty(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return !json.get<bool>();
    case Json::value_t::string:
      return json.get_ref<const std::string&>().empty();
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return json.get<int64_t>() == 0;
    case Json::value_t::array:
    case Json::value_t::object:
      return json.empty();
    default:
      return json.is_null();
  }
}

}  // namespace

Document::Document(std::string name, std::unique_ptr<Json> json)
    : name_(std::move(name)), json_(std::move(json)) {}
Document::Document(Document&&) noexcept = default;
Document::~Document() = default;

Result<Document> Document::Parse(std::string_view text, std::string_view name) {
  if (text.size() > kMaxJsonBytes) {
    return Fail(Code::kInvalidArgument, fmt::format("{}: {} bytes, at most {} are accepted", name,
                                                    text.size(), kMaxJsonBytes));
  }
  if (Depth(text) > kMaxJsonDepth) {
    return Fail(Code::kInvalidArgument,
                fmt::format("{}: nested deeper than {} levels", name, kMaxJsonDepth));
  }
  try {
    auto json = std::make_unique<Json>(Json::parse(text));
    return Document(std::string(name), std::move(json));
  } catch (const Json::parse_error& error) {
    return Fail(Code::kInvalidArgument,
                fmt::format("{}: {}: not valid JSON: {}", name, Position(text, error.byte),
                            text.empty() ? "the document is empty" : Explanation(error)));
  } catch (const Json::exception& error) {
    // A number beyond every floating point value.
    return Fail(Code::kInvalidArgument, fmt::format("{}: not valid JSON: {}", name, error.what()));
  }
}

Node Document::Root() { return Node(this, nullptr, {}, Node::kNoIndex, json_.get()); }

std::string Node::Path() const {
  if (parent_ == nullptr) return document_->name_;
  const std::string parent = parent_->parent_ == nullptr ? std::string() : parent_->Path();
  if (index_ != kNoIndex) return fmt::format("{}[{}]", parent, index_);
  // Keys of maps come from the document, so they are bounded here.
  const std::string_view key = key_.substr(0, kPreviewBytes);
  return parent.empty() ? std::string(key) : fmt::format("{}.{}", parent, key);
}

void Node::Refuse(std::string_view problem) const {
  if (Stopped()) return;
  document_->error_ =
      Error(Code::kInvalidArgument,
            parent_ == nullptr ? fmt::format("{}: {}", document_->name_, problem)
                               : fmt::format("{}: {}: {}", document_->name_, Path(), problem));
}

void Node::Mismatch(std::string_view expected) const {
  Refuse(fmt::format("expected {}, got {}", expected, Preview(*json_)));
}

bool Node::RequireObject() const {
  if (json_->is_object()) return true;
  Mismatch("an object");
  return false;
}

Node Node::Member(std::string_view key) const {
  const Json* found = nullptr;
  if (!Stopped()) {
    auto it = json_->find(key);
    if (it == json_->end()) {
      const auto& members = json_->get_ref<const Json::object_t&>();
      const auto other = std::ranges::find_if(
          members, [&](const auto& member) { return IsName(member.first, key); });
      if (other != members.end()) found = &other->second;
    } else {
      found = &*it;
    }
    if (found != nullptr && found->is_null()) found = nullptr;
  }
  return Node(document_, this, key, kNoIndex, found);
}

Node Node::Element(size_t index) const {
  return Node(document_, this, {}, index, &(*json_)[index]);
}

size_t Node::ArraySize() const {
  if (json_ == nullptr) return 0;
  if (json_->is_array()) return json_->size();
  Mismatch("an array");
  return 0;
}

bool Node::Has(std::string_view key) const { return Member(key).json_ != nullptr; }

bool Node::ReadString(std::string* out) const {
  if (!json_->is_string()) {
    Mismatch("a string");
    return false;
  }
  const auto& text = json_->get_ref<const std::string&>();
  // Every string of the specification ends up in a C string on some kernel interface.
  if (text.find('\0') != text.npos) {
    Refuse("contains a NUL character");
    return false;
  }
  *out = text;
  return true;
}

bool Node::ReadUnsigned(uint64_t limit, uint64_t* out) const {
  if (!json_->is_number_unsigned()) {
    Mismatch("an unsigned number");
    return false;
  }
  *out = json_->get<uint64_t>();
  if (*out <= limit) return true;
  Mismatch(fmt::format("an unsigned number up to {}", limit));
  return false;
}

bool Node::Scalar(std::string_view key, bool* out) const {
  const Node member = Member(key);
  if (member.json_ == nullptr) return false;
  if (!member.json_->is_boolean()) {
    member.Mismatch("true or false");
    return false;
  }
  *out = member.json_->get<bool>();
  return true;
}

bool Node::Scalar(std::string_view key, uint64_t* out) const {
  const Node member = Member(key);
  return member.json_ != nullptr && member.ReadUnsigned(std::numeric_limits<uint64_t>::max(), out);
}

bool Node::Scalar(std::string_view key, uint32_t* out) const {
  const Node member = Member(key);
  uint64_t wide = 0;
  if (member.json_ == nullptr ||
      !member.ReadUnsigned(std::numeric_limits<uint32_t>::max(), &wide)) {
    return false;
  }
  *out = static_cast<uint32_t>(wide);
  return true;
}

bool Node::Scalar(std::string_view key, int64_t* out) const {
  const Node member = Member(key);
  if (member.json_ == nullptr) return false;
  const bool fits = member.json_->is_number_unsigned()
                        ? std::in_range<int64_t>(member.json_->get<uint64_t>())
                        : member.json_->is_number_integer();
  if (!fits) {
    member.Mismatch("a whole number of at most 64 bits with sign");
    return false;
  }
  *out = member.json_->get<int64_t>();
  return true;
}

bool Node::Scalar(std::string_view key, int32_t* out) const {
  int64_t wide = 0;
  if (!Scalar(key, &wide)) return false;
  if (!std::in_range<int32_t>(wide)) {
    Member(key).Mismatch("a whole number of at most 32 bits with sign");
    return false;
  }
  *out = static_cast<int32_t>(wide);
  return true;
}

void Node::Set(std::string_view key, std::string* out) const {
  const Node member = Member(key);
  if (member.json_ != nullptr) member.ReadString(out);
}

void Node::Set(std::string_view key, google::protobuf::RepeatedPtrField<std::string>* out) const {
  const Node list = Member(key);
  const size_t count = list.ArraySize();
  for (size_t i = 0; i < count; ++i) {
    if (!list.Element(i).ReadString(out->Add())) return;
  }
}

void Node::Set(std::string_view key, google::protobuf::RepeatedField<uint32_t>* out) const {
  const Node list = Member(key);
  const size_t count = list.ArraySize();
  for (size_t i = 0; i < count; ++i) {
    uint64_t value = 0;
    if (!list.Element(i).ReadUnsigned(std::numeric_limits<uint32_t>::max(), &value)) return;
    out->Add(static_cast<uint32_t>(value));
  }
}

void Node::Set(std::string_view key, google::protobuf::Map<std::string, std::string>* out) const {
  const Node map = Member(key);
  if (map.json_ == nullptr || !map.RequireObject()) return;
  for (const auto& [name, value] : map.json_->items()) {
    const Node entry(document_, &map, name, kNoIndex, &value);
    if (name.find('\0') != name.npos) return entry.Refuse("its name contains a NUL character");
    if (!entry.ReadString(&(*out)[name])) return;
  }
}

void Node::NoteUnsupported(std::string_view key, std::string_view reason) const {
  const Node member = Member(key);
  if (member.json_ == nullptr || IsEmpty(*member.json_)) return;
  document_->unsupported_.push_back({member.Path(), std::string(reason)});
}

void Node::RefuseMember(std::string_view key, std::string_view reason) const {
  const Node member = Member(key);
  if (member.json_ != nullptr && !IsEmpty(*member.json_)) member.Refuse(reason);
}

}  // namespace kata::oci
