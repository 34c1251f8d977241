#include "core/log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>

#include "core/check.h"
#include "core/progress.h"

namespace dragoman::log {
namespace {

// Standard error, with the progress bar kept below the lines.
class TerminalSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const char* const mark = message.level == spdlog::level::warn  ? "warning: "
                             : message.level == spdlog::level::err ? "error: "
                                                                   : "";
    print_above_progress(mark + std::string(message.payload.data(), message.payload.size()));
  }
  void flush_() override {}
};

struct State {
  std::mutex mutex;
  spdlog::logger terminal{"terminal", std::make_shared<TerminalSink>()};
  std::unique_ptr<spdlog::logger> file;
};

State& state() {
  static State instance;
  return instance;
}

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
    default:
      return spdlog::level::info;
  }
}

}  // namespace

void write(Level level, const std::string& text) {
  const std::lock_guard lock(state().mutex);
  const spdlog::string_view_t view(text.data(), text.size());
  state().terminal.log(spdlog_level(level), view);
  if (state().file) state().file->log(spdlog_level(level), view);
}

void open_file(const std::filesystem::path& path) {
  const std::lock_guard lock(state().mutex);
  state().file.reset();
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
    sink->set_pattern("%Y-%m-%d %H:%M:%S %L %v");
    state().file = std::make_unique<spdlog::logger>("file", std::move(sink));
    state().file->flush_on(spdlog::level::info);
  } catch (const spdlog::spdlog_ex& e) {
    fail("{}: cannot be opened for the log: {}", path.string(), e.what());
  }
}

void close_file() {
  const std::lock_guard lock(state().mutex);
  state().file.reset();
}

}  // namespace dragoman::log
