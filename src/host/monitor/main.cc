// SPDX-License-Identifier: Apache-2.0
//
// kata-monitor: figures of all sandboxes of this host, for Prometheus.
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include "base/log.h"
#include "base/version.h"
#include "host/config/load.h"
#include "host/help/tree.h"
#include "host/monitor/http_server.h"
#include "host/monitor/listen.h"
#include "host/monitor/monitor.h"
#include "host/monitor/pages.h"
#include "sys/files.h"
#include "sys/open_file_limit.h"

namespace kata::monitor {
namespace {

// A connection to each shim of a crowded host.
constexpr size_t kDescriptors = 4096;

struct Line {
  std::string listen = "127.0.0.1:8090";
  std::string runtime_endpoint;
  std::string log_level = "info";
  std::string certificate;
  std::string key;
  std::string config;
  int patience = 5;  // seconds
};

// Where kata-factory listens; a host whose configuration cannot be read has figures all the same.
std::string FactoryOf(const std::string& config) {
  const auto loaded = config::Load(config::LoadOptions::OfThisProcess(config));
  if (!loaded) {
    log::Warn("the configuration cannot be read", {{"error", loaded.error().message()}});
    return "";
  }
  return loaded->config.factory.vm_cache_endpoint;
}

Result<void> Serve(const Line& line) {
  log::Level level = log::Level::kInfo;
  if (!log::ParseLevel(line.log_level, &level)) {
    return Fail(Code::kInvalidArgument, fmt::format("\"{}\" is no log level", line.log_level));
  }
  log::SetLevel(level);
  if (!line.runtime_endpoint.empty()) {
    log::Warn("--runtime-endpoint has no meaning here: sandboxes are found without containerd");
  }
  HttpServer::Options options;
  if (line.certificate.empty() != line.key.empty()) {
    return Fail(Code::kInvalidArgument, "--tls-cert and --tls-key belong together");
  }
  if (!line.certificate.empty()) {
    options.tls = KATA_TRY(TlsServer::Load(line.certificate, line.key));
  }
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT}) ::sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  const sys::UniqueFd stop(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!stop) return FailErrno("signalfd");
  (void)sys::RaiseOpenFileLimit(kDescriptors);
  Monitor monitor(
      {.patience = std::chrono::seconds(line.patience), .factory = FactoryOf(line.config)});
  const Listener listener = KATA_TRY(Listen(line.listen));
  HttpServer server(std::move(options), [&monitor](const HttpRequest& request) {
    return AnswerPage(monitor, request);
  });
  log::Info("kata-monitor serves",
            {{"address", listener.address}, {"tls", line.certificate.empty() ? "no" : "yes"}});
  auto ended = server.Run(listener.socket.get(), stop.get());
  if (!listener.path.empty()) LogIfFailed(sys::RemoveFile(listener.path));
  return ended;
}

int Main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  google::protobuf::SetLogHandler(nullptr);
  Line line;
  bool version = false;
  CLI::App app{"Tells Prometheus about all sandboxes of this host."};
  app.add_option("--listen-address", line.listen, "where to listen: HOST:PORT or unix:PATH")
      ->type_name("ADDRESS")
      ->capture_default_str();
  app.add_option("--runtime-endpoint", line.runtime_endpoint,
                 "without meaning here; Kata Containers' asks containerd there")
      ->type_name("PATH");
  app.add_option("--log-level", line.log_level, "what to tell on standard error")
      ->type_name("trace|debug|info|warn|error")
      ->capture_default_str();
  app.add_option("--tls-cert", line.certificate, "PEM file of the certificate: serve https")
      ->type_name("FILE");
  app.add_option("--tls-key", line.key, "PEM file of its key")->type_name("FILE");
  app.add_option("--timeout", line.patience, "how long to wait for the shims")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 300))
      ->capture_default_str();
  app.add_option("--config", line.config, "configuration.toml that tells of kata-factory's socket")
      ->type_name("FILE");
  app.add_flag("--version", version, "print the version");
  app.footer(
      "\nExamples:\n"
      "  kata-monitor                                      serve at 127.0.0.1:8090\n"
      "  kata-monitor --listen-address unix:/run/kata-monitor.sock\n"
      "  curl -s http://127.0.0.1:8090/sandboxes           which sandboxes there are\n"
      "  curl -s http://127.0.0.1:8090/metrics?sandbox=ID  figures of one\n"
      "\nPages: /metrics, /sandboxes, /healthz, and / with links to them.");
  app.name("kata-monitor");
  if (argc == 2 && std::string_view(argv[1]) == help::kDumpWord) {
    return sys::WriteAll(STDOUT_FILENO, help::RenderJson(help::ReadApp(app))) ? 0 : 1;
  }
  CLI11_PARSE(app, argc, argv);
  if (version) {
    return sys::WriteAll(STDOUT_FILENO, fmt::format("kata-monitor {}\n", kVersion)) ? 0 : 1;
  }
  const auto served = Serve(line);
  if (served) return 0;
  (void)sys::WriteAll(STDERR_FILENO, fmt::format("kata-monitor: {}\n", served.error().message()));
  return 1;
}

}  // namespace
}  // namespace kata::monitor

int main(int argc, char** argv) { return kata::monitor::Main(argc, argv); }
