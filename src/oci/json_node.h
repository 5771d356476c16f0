// SPDX-License-Identifier: Apache-2.0
//
// oci/json_node.h - reading a JSON document into protobuf messages, with errors that name the path.
//
// A reader is straight-line code over Nodes: each Set, Object or Each handles one member and does
// nothing when the member is absent or null, as Go's decoder does. Like that one it takes a member
// whose name differs in upper and lower case where there is none of the very name. The first
// mismatch is kept in the Document and turns every later call into a no-op, so that readers need no
// error handling.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/map.h>
#include <google/protobuf/repeated_field.h>
#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "oci/parse.h"

namespace kata::oci {

class Node;

// One parsed document, its first error and the notes about what it asked for in vain.
class Document {
 public:
  // Errors  kInvalidArgument  larger than kMaxJsonBytes, nested deeper than kMaxJsonDepth, or not
  //                           JSON; the message gives line and column
  static Result<Document> Parse(std::string_view text, std::string_view name);

  Document(Document&&) noexcept;
  Document& operator=(Document&&) = delete;
  ~Document();

  Node Root();

  // The first mismatch, if any.
  std::optional<Error> TakeError() { return std::move(error_); }
  std::vector<Unsupported> TakeUnsupported() { return std::move(unsupported_); }

 private:
  friend class Node;
  Document(std::string name, std::unique_ptr<nlohmann::json> json);

  std::string name_;
  std::unique_ptr<nlohmann::json> json_;
  std::optional<Error> error_;
  std::vector<Unsupported> unsupported_;
};

// A place in a Document. Lives on the stack of the reader, below its parent.
class Node {
 public:
  // Such as "process.user.uid" or "mounts[3].type"; the document's name for the root.
  std::string Path() const;

  // Records `problem` for this place, unless there is an error already.
  void Refuse(std::string_view problem) const;
  // Records that this place is not an object, unless it is one.
  bool RequireObject() const;

  // False when the member is absent or null.
  bool Has(std::string_view key) const;

  void Set(std::string_view key, std::string* out) const;
  void Set(std::string_view key, google::protobuf::RepeatedPtrField<std::string>* out) const;
  void Set(std::string_view key, google::protobuf::RepeatedField<uint32_t>* out) const;
  void Set(std::string_view key, google::protobuf::Map<std::string, std::string>* out) const;
  // For `node.Set("uid", user, &User::set_uid)`.
  template <class Message, class Value>
  void Set(std::string_view key, Message* message, void (Message::*setter)(Value)) const {
    Value value{};
    if (Scalar(key, &value)) (message->*setter)(value);
  }

  // Calls `read` with the member, which must be an object.
  template <class Read>
  void Object(std::string_view key, Read read) const {
    const Node child = Member(key);
    if (child.json_ != nullptr && child.RequireObject()) read(child);
  }

  // Calls `read` with each element of the member, an array of objects.
  template <class Read>
  void Each(std::string_view key, Read read) const {
    const Node list = Member(key);
    const size_t count = list.ArraySize();
    for (size_t i = 0; i < count && !list.Stopped(); ++i) {
      const Node element = list.Element(i);
      if (element.RequireObject()) read(element);
    }
  }

  // Notes that the member is asked for and not honoured. Zero, false and empty ask for nothing.
  void NoteUnsupported(std::string_view key, std::string_view reason) const;
  // Records an error for a member that asks for something.
  void RefuseMember(std::string_view key, std::string_view reason) const;

 private:
  friend class Document;
  static constexpr size_t kNoIndex = SIZE_MAX;

  Node(Document* document, const Node* parent, std::string_view key, size_t index,
       const nlohmann::json* json)
      : document_(document), parent_(parent), key_(key), index_(index), json_(json) {}

  bool Stopped() const { return document_->error_.has_value(); }
  // A Node without JSON when the member is absent or null, or when reading has stopped.
  Node Member(std::string_view key) const;
  Node Element(size_t index) const;
  // 0 for an absent member; refuses what is not an array.
  size_t ArraySize() const;

  bool Scalar(std::string_view key, bool* out) const;
  bool Scalar(std::string_view key, uint32_t* out) const;
  bool Scalar(std::string_view key, uint64_t* out) const;
  bool Scalar(std::string_view key, int64_t* out) const;
  bool Scalar(std::string_view key, int32_t* out) const;

  void Mismatch(std::string_view expected) const;
  bool ReadString(std::string* out) const;
  bool ReadUnsigned(uint64_t limit, uint64_t* out) const;

  Document* document_;
  const Node* parent_;
  std::string_view key_;
  size_t index_;
  const nlohmann::json* json_;
};

}  // namespace kata::oci
