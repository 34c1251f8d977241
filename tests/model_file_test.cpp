// Models as files. This program has nothing of training in it: translating needs none of it.
#include "models/model_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "files_harness.h"

namespace dragoman {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ModelFileTest : public InDirectory {
 protected:
  static Config config(std::vector<std::string> sets = {}) {
    sets.insert(sets.begin(),
                {"model.encoder.dim=6", "model.encoder.layers=1", "model.encoder.heads=2",
                 "model.encoder.ffn_dim=8", "model.decoder.dim=6", "model.decoder.layers=1",
                 "model.decoder.heads=2", "model.decoder.ffn_dim=8", "seed=5"});
    return parse_config("name: tiny", "test", sets);
  }
  // Of the words a to h.
  Vocabulary vocabulary() const {
    const std::filesystem::path text = directory_ / "text";
    std::ofstream(text) << "a b c d e f g h\n";
    VocabularyConfig options;
    options.type = VocabularyType::kWord;
    options.size = kPieces;
    return Vocabulary::train(options, {text.string()});
  }
  static Model model(const Config& config) {
    return {config.model, kPieces, kPieces, static_cast<uint64_t>(config.seed), Device{}};
  }
  std::filesystem::path save(const std::string& name, const Config& config,
                             const Model& model) const {
    const Parameters& parameters = model.parameters();
    save_model(directory_ / name, config, vocabularies_, parameters,
               {{kParametersGroup, parameters.values()}});
    return directory_ / name;
  }
  static std::string contents(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  static constexpr int32_t kPieces = 11;  // 8 words, and 3 that every vocabulary has
  const Vocabularies vocabularies_{vocabulary(), vocabulary()};
};

TEST_F(ModelFileTest, IsReadAsItWasWritten) {
  const Config config = this->config();
  const Model model = this->model(config);
  const Parameters& parameters = model.parameters();
  const Tensor average = parameters.values().clone();
  average.data()[7] += 1;
  const std::filesystem::path path = directory_ / "best.h5";
  save_model(path, config, vocabularies_, parameters,
             {{kParametersGroup, parameters.values()}, {kAverageGroup, average}},
             [](hdf5::File& file) { file.write_string("/more", "stands beside it"); });

  const ModelFile file(path);
  EXPECT_EQ(file.path(), path);
  EXPECT_THAT(diff(file.config(), config), IsEmpty());
  EXPECT_EQ(file.vocabularies().source, vocabularies_.source);
  EXPECT_TRUE(file.has("/more"));
  std::set<std::string> names;
  for (const Parameters::Entry& entry : parameters.entries()) names.insert(entry.name);
  EXPECT_EQ(file.parameter_names(), std::vector<std::string>(names.begin(), names.end()));
  EXPECT_THAT(file.parameter_shape("encoder.0.ffn.in.weight"), ElementsAre(8, 6));
  const Tensor read = Tensor::zeros(average.shape(), DType::kReal, Device{});
  file.read(kParametersGroup, parameters, read);
  EXPECT_EQ(read.to_host(), parameters.values().to_host());

  const LoadedModel loaded = load_model(directory_, Device{});
  EXPECT_EQ(loaded.path, path);
  EXPECT_EQ(loaded.model->parameters().values().to_host(), average.to_host())
      << "the average is what was validated";
}

TEST_F(ModelFileTest, HasTheChecksumOfItsParameters) {
  const Config config = this->config();
  const Model model = this->model(config);
  const uint32_t before = ModelFile(save("one.h5", config, model)).checksum();
  EXPECT_EQ(ModelFile(save("again.h5", config, model)).checksum(), before);
  model.parameters().values().data()[3] += 1;
  EXPECT_NE(ModelFile(save("other.h5", config, model)).checksum(), before);
}

TEST_F(ModelFileTest, RefusesParametersOfAnotherModel) {
  const auto error = [&](const Config& written, const Config& parameters) {
    const std::filesystem::path path = save("model.h5", written, model(parameters));
    return complaint([&] { load_model(path, Device{}); });
  };
  const Config right = config(), wide = config({"model.encoder.ffn_dim=9"}),
               deep = config({"model.encoder.layers=2"});
  EXPECT_THAT(error(right, wide),
              AllOf(HasSubstr("model.h5/parameters"), HasSubstr("has the shape"),
                    HasSubstr("but the model's is")));
  EXPECT_THAT(error(right, deep), HasSubstr("that the model does not know"));
  EXPECT_THAT(error(deep, right), HasSubstr("has no parameter"));
}

TEST_F(ModelFileTest, StaysAsItWasWhenTheNextCannotBeSaved) {
  const Config config = this->config();
  const Model model = this->model(config);
  const std::filesystem::path path = save("model.h5", config, model);
  const std::string before = contents(path);
  const auto again = [&] { save("model.h5", config, model); };
  {
    const FullDisk full(20'000);
    EXPECT_THAT(complaint(again), AllOf(HasSubstr("model.h5: cannot be written"),
                                        HasSubstr("the file there before is unchanged")));
  }
  EXPECT_EQ(contents(path), before);
  model.parameters().values().data()[5] = NAN;
  EXPECT_THAT(complaint(again), HasSubstr("/parameters is NaN or infinite"));
  EXPECT_EQ(contents(path), before);
  EXPECT_THAT(names(), ElementsAre("model.h5", "text")) << "nothing half done is left";
}

}  // namespace
}  // namespace dragoman
