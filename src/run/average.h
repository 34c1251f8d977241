// Averaging checkpoints (Junczys-Dowmunt et al. 2016; Vaswani et al. 2017, section 6.1).
#pragma once

#include <filesystem>
#include <vector>

namespace dragoman {

/// Writes a model whose parameters are the mean of those of several checkpoints (or run
/// directories), each taken as load_model takes it. It has the configuration and the vocabulary of
/// the first. Throws Error when their parameters or vocabularies differ, and UsageError when there
/// is no checkpoint.
void average_checkpoints(const std::vector<std::filesystem::path>& checkpoints,
                         const std::filesystem::path& output);

}  // namespace dragoman
