// SPDX-License-Identifier: Apache-2.0
#include "host/shim/bundle.h"

#include <unistd.h>

#include <climits>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "oci/parse.h"
#include "sys/files.h"

namespace kata::shim {
namespace {

// Collects the strings of the top-level object "annotations" and stops behind it.
class AnnotationReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool done() const { return done_; }
  const std::string& problem() const { return problem_; }
  const oci::Spec& spec() const { return spec_; }

  bool null() override { return Value(); }
  bool boolean(bool) override { return Value(); }
  bool number_integer(number_integer_t) override { return Value(); }
  bool number_unsigned(number_unsigned_t) override { return Value(); }
  bool number_float(number_float_t, const string_t&) override { return Value(); }
  bool binary(binary_t&) override { return Value(); }
  bool string(string_t& text) override {
    if (inside_ && depth_ == 2) {
      (*spec_.mutable_annotations())[key_] = std::move(text);
      return true;
    }
    return Value();
  }
  bool key(string_t& name) override {
    if (depth_ <= 2) key_ = std::move(name);
    return true;
  }
  bool start_object(size_t) override {
    if (depth_ == 1 && key_ == "annotations") {
      inside_ = true;
      depth_ = 2;
      return true;
    }
    return Begin();
  }
  bool end_object() override {
    if (inside_ && depth_ == 2) {
      done_ = true;
      return false;
    }
    return End();
  }
  bool start_array(size_t) override {
    if (depth_ == 0) return Refuse("not an object");
    return Begin();
  }
  bool end_array() override { return End(); }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    problem_ = fmt::format("syntax error at byte {}", position);
    return false;
  }

 private:
  bool Value() {
    if (depth_ == 0) return Refuse("not an object");
    if (inside_) return Refuse("annotations: every value must be a string");
    return true;
  }
  bool Begin() {
    if (inside_) return Value();
    if (++depth_ > static_cast<int>(oci::kMaxJsonDepth)) return Refuse("nested too deeply");
    return true;
  }
  bool End() {
    if (--depth_ == 0) done_ = true;
    return true;
  }
  bool Refuse(std::string why) {
    problem_ = std::move(why);
    return false;
  }

  int depth_ = 0;
  bool inside_ = false;  // of the annotations
  bool done_ = false;
  std::string key_;
  std::string problem_;
  oci::Spec spec_;
};

}  // namespace

Result<oci::PodRole> ParsePodRole(std::string_view json) {
  AnnotationReader reader;
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  if (!reader.done()) {
    return Fail(Code::kInvalidArgument, fmt::format("config.json: {}", reader.problem()));
  }
  return KATA_TRY_WITHIN("config.json", oci::RoleFromAnnotations(reader.spec()));
}

Result<oci::PodRole> ReadPodRole(const std::string& bundle) {
  const std::string text = KATA_TRY(sys::ReadFile(bundle + "/config.json", oci::kMaxJsonBytes));
  return KATA_TRY_WITHIN(bundle, ParsePodRole(text));
}

const std::string& SandboxIdOf(const oci::PodRole& role, const std::string& container_id) {
  return role.kind == oci::ContainerKind::kMember ? role.sandbox_id : container_id;
}

Result<std::string> ResolveBundle(const std::string& bundle) {
  if (bundle.starts_with('/')) return bundle;
  char directory[PATH_MAX];
  if (::getcwd(directory, sizeof directory) == nullptr) return FailErrno("getcwd");
  if (bundle.empty()) return std::string(directory);
  return fmt::format("{}/{}", directory, bundle);
}

}  // namespace kata::shim
