// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/network_settings.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr std::string_view kConf = "/conf/";
constexpr size_t kMostValue = 4096;

// "ipv4/conf/" of "ipv4/conf/eth0/rp_filter"; empty of what is no interface's.
std::string_view BeforeLink(std::string_view name) {
  const size_t conf = name.find(kConf);
  return conf == name.npos ? std::string_view() : name.substr(0, conf + kConf.size());
}

std::string_view LinkOf(std::string_view name) {
  const std::string_view before = BeforeLink(name);
  if (before.empty()) return {};
  name.remove_prefix(before.size());
  return name.substr(0, name.find('/'));
}

std::string_view Leaf(std::string_view name) { return name.substr(name.rfind('/') + 1); }

// That of the namespace sets those of all its interfaces, and "all" what "default" has.
int Rank(std::string_view name) {
  const std::string_view link = LinkOf(name);
  if (link.empty()) return 0;
  if (link == "all") return 1;
  return link == "default" ? 2 : 3;
}

std::vector<std::string> InOrder(const NetworkSettings::Values& values) {
  std::vector<std::string> names;
  for (const auto& [name, value] : values) names.push_back(name);
  std::ranges::stable_sort(names, {}, [](const std::string& name) { return Rank(name); });
  return names;
}

bool IsName(const std::string& name) {
  return !name.empty() && !name.starts_with('/') && name.find("..") == name.npos &&
         name.find('/') != name.npos;
}

}  // namespace

bool Decides(const std::string& claimed, const std::string& name) {
  if (claimed == name) return true;
  const std::string& spreading =
      claimed == "ipv4/ip_forward" ? "ipv4/conf/all/forwarding" : claimed;
  if (name == "ipv4/ip_forward") return spreading == "ipv4/conf/all/forwarding";
  const bool spreads = LinkOf(spreading) == "all" &&
                       (Leaf(spreading) == "forwarding" || Leaf(spreading) == "disable_ipv6");
  return spreads && BeforeLink(name) == BeforeLink(spreading) && Leaf(name) == Leaf(spreading);
}

void NetworkSettings::Claim(const std::string& sysctl) {
  std::string name = sysctl;
  // As in linux.sysctl: with slashes where a name has dots.
  if (name.find('/') == name.npos) std::ranges::replace(name, '.', '/');
  constexpr std::string_view kNet = "net/";
  if (name.starts_with(kNet)) claimed_.insert(name.substr(kNet.size()));
}

bool NetworkSettings::IsClaimed(const std::string& name) const {
  return std::ranges::any_of(claimed_,
                             [&](const std::string& each) { return Decides(each, name); });
}

void NetworkSettings::Set(const std::string& name, const std::string& value) {
  if (IsClaimed(name)) return;
  const std::string path = root_ + "/" + name;
  auto present = sys::ReadFile(path, kMostValue);
  // Of an interface that is not there, or of a kernel without it.
  if (!present) return;
  while (present->ends_with('\n')) present->pop_back();
  before_.emplace(name, *present);
  if (*present == value) return;
  if (const auto written = sys::WriteControl(path, value); !written) {
    log::Warn("a setting of the network",
              {{"setting", name}, {"value", value}, {"error", written.error().message()}});
  }
}

Result<void> NetworkSettings::Update(Values wanted) {
  for (const auto& [name, value] : wanted) {
    if (!IsName(name) || value.size() > kMostValue) {
      return Fail(Code::kInvalidArgument, fmt::format("sysctl \"net/{}\" is not a name", name));
    }
  }
  const Values told = std::exchange(wanted_, std::move(wanted));
  for (const std::string& name : InOrder(before_)) {
    if (wanted_.contains(name)) continue;
    Set(name, before_.at(name));
    before_.erase(name);
  }
  for (const std::string& name : InOrder(wanted_)) {
    const std::string& value = wanted_.at(name);
    // What a container has made of it since is the container's.
    const auto earlier = told.find(name);
    if (earlier == told.end() || earlier->second != value) Set(name, value);
  }
  return {};
}

void NetworkSettings::Apply(const std::string& link) {
  for (const auto& [name, value] : wanted_) {
    if (LinkOf(name) == link) Set(name, value);
  }
}

void NetworkSettings::Forget(const std::string& link) {
  std::erase_if(before_, [&](const auto& each) { return LinkOf(each.first) == link; });
}

}  // namespace kata::guest
