// Event files, which TensorBoard shows: TFRecords of the protocol buffer Event of TensorFlow
// (tensorflow/core/util/event.proto, framework/summary.proto), as far as scalars and texts need it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace dragoman {

/// One session of a run: a process that trains it.
class TensorBoard {
 public:
  /// Seconds since 1970.
  using Clock = std::function<double()>;

  /// Begins a file of its own in `directory` for a run at `step`. What files of earlier sessions
  /// tell of later steps TensorBoard does not show any more. Throws Error when it cannot be made.
  TensorBoard(const std::filesystem::path& directory, int64_t step, Clock clock = system_clock);

  /// Adds a line of log.jsonl: each of its numbers is the scalar <type>/<key> at its step. Throws
  /// Error when it cannot be written.
  void add(const nlohmann::ordered_json& entry);
  /// Adds a text in Markdown. Throws Error when it cannot be written.
  void add_text(int64_t step, std::string_view tag, std::string_view text);

  const std::filesystem::path& path() const { return path_; }

 private:
  static double system_clock();
  // Adds an Event: `what` is its encoded field besides time and step.
  void write(int64_t step, std::string_view what);

  Clock clock_;
  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace dragoman
