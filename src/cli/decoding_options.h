// The settings of the search as options of a verb.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"

namespace dragoman {

/// What was given of them, as --set has it: "decoding.beam_size=8".
using DecodingSettings = std::shared_ptr<std::vector<std::string>>;

/// Adds an option for every field of DecodingConfig: --beam-size for beam_size, and so on.
DecodingSettings add_decoding_options(CLI::App& verb);

/// The decoding settings of a model's configuration with those given over them. Throws UsageError
/// for a value that is not allowed; `origin` is where the configuration comes from.
DecodingConfig decoding_config(const Config& model, const std::string& origin,
                               const DecodingSettings& given);

}  // namespace dragoman
