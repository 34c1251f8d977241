// A hash that stays the same from run to run and from machine to machine.
#pragma once

#include <cstdint>
#include <string_view>

namespace dragoman {

/// FNV-1a with 64 bits (Fowler, Noll and Vo): tells inputs apart where nobody makes them alike on
/// purpose. Names of cached files and the initial weights of parameters follow from it.
class Fnv1a {
 public:
  Fnv1a() = default;
  /// Goes on from what `value` returned.
  explicit Fnv1a(uint64_t value) : hash_(value) {}

  Fnv1a& add(std::string_view bytes) {
    for (const char byte : bytes) add_word(static_cast<unsigned char>(byte));
    return *this;
  }
  /// A whole word in one step, as if it were a byte: for keys of tables in memory.
  Fnv1a& add_word(uint64_t word) {
    hash_ = (hash_ ^ word) * 0x100000001b3u;
    return *this;
  }

  uint64_t value() const { return hash_; }
  bool operator==(const Fnv1a&) const = default;

 private:
  uint64_t hash_ = 0xcbf29ce484222325u;
};

}  // namespace dragoman
