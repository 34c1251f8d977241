// The settings of the search as options of a verb.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace dragoman {

/// One that was given: "--beam-size", "decoding.beam_size" and "8".
struct DecodingSetting {
  std::string option, key, value;
};
using DecodingSettings = std::shared_ptr<std::vector<DecodingSetting>>;

/// Adds an option for every field of DecodingConfig, --beam-size for beam_size and so on, but for
/// the field `without`.
DecodingSettings add_decoding_options(CLI::App& verb, std::string_view without = "");

/// The decoding settings of a model's configuration with those given over them. Throws UsageError
/// for a value that is not allowed; `origin` is where the configuration comes from.
DecodingConfig decoding_config(const Config& model, const std::string& origin,
                               const DecodingSettings& given);

}  // namespace dragoman
