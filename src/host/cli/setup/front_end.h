// SPDX-License-Identifier: Apache-2.0
//
// cli/setup/front_end.h - what `kata-runtime setup` asks of each container front end that it knows.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/cli/setup/config_file.h"
#include "host/cli/setup/setup_record.h"

namespace kata::cli::setup {

// By which containerd and what is above it know the shim.
inline constexpr std::string_view kShimType = "io.containerd.kata.v2";
inline constexpr std::string_view kShimProgram = "containerd-shim-kata-v2";

struct SetupOptions {
  std::string name = "kata";  // of the runtime
  bool make_default = false;
  bool dry_run = false;
  bool undo = false;
  bool restart = false;     // the daemon, where that is what it takes
  bool no_check = false;    // no container is run
  std::string image;        // for the check, pulled if it is missing; "": one that is there
  std::string config_file;  // the front end's; "": its own idea
  std::string sysroot;      // files are below it, and nothing that runs here is looked at
};

// One thing that setup did, left out or failed at.
struct SetupStep {
  enum class Outcome { kDone, kSkipped, kFailed };
  std::string name;  // "load", "check"
  Outcome outcome = Outcome::kDone;
  std::string detail;
  std::string remedy;  // what remains for the user; may be empty
};

// The programs of ours that a front end starts.
struct KataPrograms {
  std::string runtime;  // kata-runtime's path
  std::string shim;     // containerd-shim-kata-v2's
};

// What a front end was found to be.
struct DetectedFrontEnd {
  std::string about;  // such as "docker 28.5.2, dockerd runs (pid 812)"
  std::string path;   // of the file to change
};

// One front end. Detect comes first; what it found is what the others go by. Plan and Unplan are
// pure.
class FrontEnd {
 public:
  virtual ~FrontEnd() = default;

  // Errors  kNotFound            nothing of it is installed
  //         kFailedPrecondition  it is set up in a way that ours would break, or changes nothing
  virtual Result<DetectedFrontEnd> Detect() = 0;

  // The file's text with the runtime in it; the same text where it has it already. `record` tells
  // what is ours in it.
  // Errors  kInvalidArgument     not what the front end could read
  //         kAlreadyExists       a runtime of this name is there and is another one
  virtual Result<std::string> Plan(const ConfigFile& file,
                                   const std::optional<SetupRecord>& record) const = 0;
  // A text that others have changed since, without what setup put in.
  virtual Result<std::optional<std::string>> Unplan(const std::string& text,
                                                    const SetupRecord& record) const = 0;

  // Asks the front end's own programs whether they would take `text`, where they can tell.
  virtual Result<void> Prove(const ConfigFile& file, const std::string& text) const = 0;

  // What must be loaded before `text` for a running daemon to forget the runtime; nullopt: nothing.
  virtual std::optional<std::string> Interim(const std::optional<std::string>& text) const {
    (void)text;
    return std::nullopt;
  }
  // Has the daemon take the file, whose text is `text`, and waits until it has.
  virtual SetupStep Load(const std::optional<std::string>& text) const = 0;
  // Runs a container of the runtime.
  virtual SetupStep Check() const = 0;
  // What a user should know besides.
  virtual std::vector<std::string> Notes() const { return {}; }
};

// `word` is one of "docker", "containerd", "podman" and "cri-o".
std::unique_ptr<FrontEnd> MakeFrontEnd(std::string_view word, const SetupOptions& options,
                                       const KataPrograms& programs);

std::unique_ptr<FrontEnd> MakeDocker(const SetupOptions& options, const KataPrograms& programs);
std::unique_ptr<FrontEnd> MakeContainerd(const SetupOptions& options, const KataPrograms& programs);
std::unique_ptr<FrontEnd> MakePodman(const SetupOptions& options, const KataPrograms& programs);
std::unique_ptr<FrontEnd> MakeCrio(const SetupOptions& options, const KataPrograms& programs);

}  // namespace kata::cli::setup
