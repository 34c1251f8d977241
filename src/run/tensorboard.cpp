#include "run/tensorboard.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/check.h"

namespace dragoman {
namespace {

// Numbers go into a file with their lowest byte first.
template <class Number>
std::string bytes_of(Number number) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(number); ++i)
    bytes += static_cast<char>(static_cast<uint64_t>(number) >> (8 * i));
  return bytes;
}

// --- Protocol buffers: a message is its fields, one after the other ---------------------------

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string key(int field, uint64_t wire_type) {
  return varint(static_cast<uint64_t>(field) << 3 | wire_type);
}
std::string integer(int field, int64_t value) {
  return key(field, 0) + varint(static_cast<uint64_t>(value));
}
std::string float64(int field, double value) {
  return key(field, 1) + bytes_of(std::bit_cast<uint64_t>(value));
}
std::string float32(int field, float value) {
  return key(field, 5) + bytes_of(std::bit_cast<uint32_t>(value));
}
// A string or a message.
std::string text(int field, std::string_view value) {
  return key(field, 2) + varint(value.size()) + std::string(value);
}

// The numbers of the fields that are written.
namespace event {
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
}
namespace session_log {
constexpr int kStatus = 1;
constexpr int64_t kStart = 1;
}  // namespace session_log
namespace summary {
constexpr int kValue = 1;
}
namespace value {
constexpr int kTag = 1, kSimpleValue = 2, kTensor = 8, kMetadata = 9;
}
namespace metadata {
constexpr int kPluginData = 1, kPluginName = 1;
}
namespace tensor {
constexpr int kType = 1, kShape = 2, kStringValue = 8;
constexpr int64_t kString = 7;
constexpr int kDimension = 2, kSize = 1;
}  // namespace tensor

// --- TFRecord: length, checksum of the length, bytes, checksum of the bytes --------------------

// CRC-32C (Castagnoli), reflected.
constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < table.size(); ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0u);
    table[byte] = crc;
  }
  return table;
}();

// Rotated and moved, so that the checksum of bytes that hold checksums is no special case.
uint32_t masked_crc(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : bytes)
    crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<unsigned char>(byte)) & 0xFF];
  return std::rotr(~crc, 15) + 0xA282EAD8u;
}

std::string record(std::string_view bytes) {
  const std::string length = bytes_of(static_cast<uint64_t>(bytes.size()));
  return length + bytes_of(masked_crc(length)) + std::string(bytes) + bytes_of(masked_crc(bytes));
}

constexpr std::string_view kPrefix = "events.out.tfevents.";

// The time of the newest file there, 0 if there is none. TensorBoard reads the files of a directory
// in the order of their names, and clocks may be set back.
double newest(const std::filesystem::path& directory) {
  double time = 0;
  std::error_code ignored;  // whoever opens the file tells
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(kPrefix)) time = std::max(time, std::atof(name.c_str() + kPrefix.size()));
  }
  return time;
}

}  // namespace

TensorBoard::TensorBoard(const std::filesystem::path& directory, int64_t step, Clock clock)
    : clock_(std::move(clock)),
      path_(directory / fmt::format("{}{:017.6f}.dragoman", kPrefix,
                                    std::max(clock_(), newest(directory) + 1e-6))),
      file_(path_, std::ios::binary) {
  write(0, text(event::kFileVersion, "brain.Event:2"));
  // From this step on, what was told before is void.
  write(step + 1, text(event::kSessionLog, integer(session_log::kStatus, session_log::kStart)));
}

double TensorBoard::system_clock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

void TensorBoard::write(int64_t step, std::string_view what) {
  // A step of 0 is left out, as every protocol buffer's default is.
  std::string fields = float64(event::kWallTime, clock_());
  if (step != 0) fields += integer(event::kStep, step);
  fields += what;
  file_ << record(fields) << std::flush;
  check(file_.good(), "{}: cannot be written (is the disk full?)", path_.string());
}

void TensorBoard::add(const nlohmann::ordered_json& entry) {
  const std::string type = entry.at("type");
  std::string values;
  for (const auto& [name, number] : entry.items()) {
    if (!number.is_number() || name == "step") continue;
    values += text(summary::kValue, text(value::kTag, type + "/" + name) +
                                        float32(value::kSimpleValue, number.get<float>()));
  }
  write(entry.at("step"), text(event::kSummary, values));
}

void TensorBoard::add_text(int64_t step, std::string_view tag, std::string_view markdown) {
  const std::string shape = text(tensor::kDimension, integer(tensor::kSize, 1));
  const std::string content = integer(tensor::kType, tensor::kString) +
                              text(tensor::kShape, shape) + text(tensor::kStringValue, markdown);
  const std::string plugin = text(metadata::kPluginData, text(metadata::kPluginName, "text"));
  write(step, text(event::kSummary,
                   text(summary::kValue, text(value::kTag, tag) + text(value::kTensor, content) +
                                             text(value::kMetadata, plugin))));
}

}  // namespace dragoman
