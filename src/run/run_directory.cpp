#include "run/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <map>
#include <optional>

#include "core/check.h"
#include "core/files.h"
#include "core/log.h"

namespace dragoman {
namespace {

namespace fs = std::filesystem;

constexpr const char* kColumns = "step\tepoch\tminutes\tloss\tperplexity\tbleu\tbest\n";

void make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  check(!error, "{}: the directory cannot be made: {}", path.string(), error.message());
}

// All of `text` as a number, if it is one.
std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Whether a state knows what a line of log.jsonl tells: of training up to its step, of validations
// up to its last, and of an end, which comes with one, if it was saved.
bool covers_json(const TrainingState& state, bool saved, const std::string& line) {
  const auto entry = nlohmann::json::parse(line, nullptr, false);
  if (!entry.is_object() || !entry.contains("step")) return false;
  const std::string type = entry.value("type", "");
  if (type == "end" && !saved && entry["step"] == state.step) return false;
  return entry["step"] <= (type == "train" ? state.step : state.latest.step);
}

bool covers_row(const TrainingState& state, const std::string& line) {
  const auto step = number(std::string_view(line).substr(0, line.find('\t')));
  return step && *step <= state.latest.step;
}

// Opens a file of lines to append to, after `header` and the lines that are covered. One that a
// killed process left half written is not.
template <class Covers>
std::ofstream reopen(const fs::path& path, const std::string& header, Covers covers) {
  std::string kept = header;
  if (fs::exists(path)) {
    const std::string old = read_file(path);
    for (size_t begin = 0, end; (end = old.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      const std::string line = old.substr(begin, end - begin);
      if (covers(line)) kept += line + '\n';
    }
  }
  write_atomically(path, kept);
  std::ofstream stream(path, std::ios::app);
  check(stream.good(), "{}: cannot be opened for the log", path.string());
  return stream;
}

void append(std::ofstream& stream, const fs::path& path, const std::string& line) {
  stream << line << '\n' << std::flush;
  check(stream.good(), "{}: cannot be written (is the disk full?)", path.string());
}

}  // namespace

RunDirectory::RunDirectory(const fs::path& path) : path_(path) {
  make_directory(path);
  const fs::path lock = path / ".lock";
  lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  check(lock_ >= 0, "{}: cannot be written: {}", lock.string(), std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) == 0) return;
  const int reason = errno;
  ::close(lock_);
  // A file system without locks keeps nobody out, and is good enough for one process.
  if (reason != EWOULDBLOCK) {
    lock_ = -1;
    log::warn("{}: cannot be locked ({}): see to it that no other process trains there",
              path.string(), std::strerror(reason));
    return;
  }
  fail("{}: another process is training there: wait for it, or choose another --output",
       path.string());
}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) ::close(lock_);
}

void RunDirectory::open_logs(const TrainingState& state, bool saved, bool tensorboard) {
  log_ = reopen(path_ / "log.jsonl", "",
                [&](const std::string& line) { return covers_json(state, saved, line); });
  validations_ = reopen(path_ / "validation.tsv", kColumns,
                        [&](const std::string& line) { return covers_row(state, line); });
  if (tensorboard) tensorboard_.emplace(path_, state.step);
}

void RunDirectory::log(const nlohmann::ordered_json& entry) {
  append(log_, path_ / "log.jsonl", entry.dump());
  // What is told once, at the end, is no curve.
  if (tensorboard_ && entry.at("type") != "end") tensorboard_->add(entry);
}

void RunDirectory::log_text(int64_t step, const std::string& tag, const std::string& text) {
  if (tensorboard_) tensorboard_->add_text(step, tag, text);
}

void RunDirectory::log_validation(const TrainingState& state, bool best) {
  const Scores& scores = state.latest;
  append(validations_, path_ / "validation.tsv",
         fmt::format("{}\t{:.2f}\t{:.2f}\t{:.4f}\t{:.4f}\t{:.2f}\t{}", scores.step, state.epochs,
                     state.seconds / 60, scores.loss, scores.perplexity, scores.bleu,
                     best ? "*" : ""));
}

void RunDirectory::write_translations(const std::string& folder, const std::string& name,
                                      const std::string& language,
                                      const std::vector<std::string>& lines) const {
  make_directory(path_ / folder);
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  write_atomically(path_ / folder / fmt::format("{}.{}", file_name_for(name), language), text);
}

void RunDirectory::prune_numbered(int keep) const {
  std::map<int64_t, fs::path> checkpoints;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("step-") || !name.ends_with(".h5")) continue;
    if (const auto its_step = number(name.substr(5, name.size() - 8)))
      checkpoints[*its_step] = entry.path();
  }
  while (std::ssize(checkpoints) > keep) {
    fs::remove(checkpoints.begin()->second);
    checkpoints.erase(checkpoints.begin());
  }
}

}  // namespace dragoman
