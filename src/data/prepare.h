// From the text files of a configuration to vocabularies and a dataset, with a cache of both.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "config/config.h"
#include "data/dataset.h"
#include "data/text.h"
#include "data/vocabulary.h"

namespace dragoman {

/// What training reads.
struct TrainingData {
  Vocabularies vocabularies;
  std::shared_ptr<const Dataset> dataset;
};

/// The files of the training corpora. Throws as find_corpus does.
std::vector<CorpusFiles> find_training_corpora(const DataConfig& data);

/// Learns the vocabularies from the training text, or takes `given`, those of a checkpoint, and
/// cuts the training text into their pieces, on up to `threads` threads. Pairs with an empty side,
/// or with more than `data.max_length` pieces on a side, are left out, counted and reported. The
/// raw text is kept in the dataset when `vocabulary.sampling` asks for it.
///
/// Both results are kept in `cache` as `vocabulary-KEY.h5` and `dataset-KEY.h5`, where the key is a
/// hash of the text and the settings: another call with the same input reads them back. What hash
/// the text has is remembered as well (`known-KEY.h5`): a file is read again, to see what it holds,
/// only if its path, size or time of modification changed. What KnownFiles says of text exchanged
/// under the same time holds here.
///
/// A damaged file of the cache is reported and made again. All of a dataset is read, to know that,
/// where it was written to since it was last known to be sound; each chunk has a checksum besides,
/// which Dataset::read compares.
///
/// Throws Error for text that is missing, empty, not UTF-8 or of unequal length (see data/text.h)
/// or that changes while it is read, for an impossible vocabulary (see Vocabulary::train), and when
/// no pair is left.
TrainingData prepare_training_data(const DataConfig& data, const VocabularyConfig& vocabulary,
                                   const std::filesystem::path& cache, int threads,
                                   const std::optional<Vocabularies>& given = std::nullopt);

}  // namespace dragoman
