// Translates sentences with a model that `dragoman train` has saved:
//
//   translate runs/my-model 'A sentence.' 'Another one.'
#include <fmt/format.h>

#include <string>
#include <vector>

#include "decode/translator.h"
#include "models/model_file.h"

using namespace dragoman;

int main(int count, char** arguments) {
  if (count < 3) {
    fmt::print(stderr, "usage: translate MODEL SENTENCE...\n");
    return 2;
  }
  const std::vector<std::string> sentences(arguments + 2, arguments + count);
  try {
    const LoadedModel loaded = load_model(arguments[1], find_device("auto"));
    const Translator translator(*loaded.model, loaded.vocabularies, loaded.config.decoding);
    for (const Translation& translation : translator.translate(sentences))
      fmt::print("{}\n", translation.text());
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
