#include "run/average.h"

#include "core/check.h"
#include "ops/update.h"
#include "run/checkpoint.h"

namespace dragoman {

void average_checkpoints(const std::vector<std::filesystem::path>& checkpoints,
                         const std::filesystem::path& output) {
  if (checkpoints.empty()) fail_usage("no checkpoint to average was given");
  check(!std::filesystem::exists(output) || !CheckpointReader(output).state(),
        "{}: holds the state of a run, which could not be continued any more: choose another file",
        output.string());
  const LoadedModel first = load_model(checkpoints.front(), Device{});
  const Parameters& parameters = first.model->parameters();
  const Tensor mean = parameters.values().clone();
  const Tensor next = Tensor::zeros(mean.shape(), DType::kReal, mean.device());
  for (size_t i = 1; i < checkpoints.size(); ++i) {
    const ModelFile reader(find_model(checkpoints[i]));
    const Vocabularies vocabularies = reader.vocabularies();
    check(vocabularies.source == first.vocabularies.source &&
              vocabularies.target == first.vocabularies.target,
          "{}: has another vocabulary than {}: only checkpoints of one vocabulary can be averaged",
          reader.path().string(), first.path.string());
    for (const Difference& difference : diff(first.config, reader.config())) {
      check(!difference.shapes_model, "{}: is another model than {}: {}", reader.path().string(),
            first.path.string(), difference.text());
    }
    reader.read(reader.model_group(), parameters, next);
    const auto number = static_cast<double>(i);
    average_update(mean, next, static_cast<real>(1 - number / (number + 1)));
  }
  save_model(output, first.config, first.vocabularies, parameters, {{kParametersGroup, mean}});
}

}  // namespace dragoman
