#include "decode/observation.h"

#include <array>

#include "autograd/precision.h"
#include "core/check.h"
#include "data/batch.h"
#include "decode/search.h"

namespace dragoman {
namespace {

std::vector<std::string> pieces_and_end(const Vocabulary& vocabulary,
                                        const std::vector<int32_t>& ids) {
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(vocabulary.piece(id));
  pieces.push_back(vocabulary.piece(Vocabulary::kEnd));
  return pieces;
}

}  // namespace

Observation observe(const Model& model, const Vocabularies& vocabularies,
                    const DecodingConfig& decoding, const std::string& line) {
  std::vector<int32_t> source = vocabularies.source.encode(line);
  check(!source.empty(), "a blank line has no attention to show");
  const auto most = static_cast<size_t>(model.longest_source() - 1);  // </s> is read too
  if (source.size() > most) source.resize(most);
  Batch batch;
  batch.append(source, {}, 0);
  Tape searching(/*recording=*/false);
  searching.set_products(precision_of(decoding.precision, "decoding.precision", model.device()));
  const std::vector<int32_t> target =
      search(std::array{&model}, searching, batch.source, decoding, /*alignments=*/false)[0][0].ids;
  batch = {};
  batch.append(source, target, 0);

  Observation observation{.source = pieces_and_end(vocabularies.source, source),
                          .target = pieces_and_end(vocabularies.target, target),
                          .maps = {}};
  Tape tape(/*recording=*/false);
  const DeviceBatch loaded = model.load(batch);
  const Memory memory = model.encode(tape, loaded.source(), &observation.maps);
  model.decode(tape, memory, loaded.target_input(), &observation.maps);
  return observation;
}

}  // namespace dragoman
