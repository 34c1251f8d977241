// Translations of test corpora, kept so that a comparison which is made again need not translate.
#pragma once

#include <filesystem>
#include <optional>

#include "models/model_file.h"
#include "report/results.h"
#include "run/evaluation.h"

namespace dragoman {

/// The translations of `test` by `model`, from `directory` if they are there and of the same
/// checkpoint, search, source and device; otherwise they are made and kept there:
///
///   TEST.SOURCE, TEST.TARGET   the source and its translations
///   TEST.json                  how long they took, and what they were made with
///
/// Nothing when `stop` said so.
std::optional<TestOutput> translate_test(const LoadedModel& model, const TestCorpus& test,
                                         const std::filesystem::path& directory,
                                         const StopRequested& stop);

}  // namespace dragoman
