#include "data/survey.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/check.h"

namespace dragoman {
namespace {

std::string text_of(const TextPrint& print) {
  return fmt::format("{} lines ({:016x})", print.lines, print.hash.value());
}

size_t place_of(size_t corpus, Side side) { return 2 * corpus + (side == Side::kTarget ? 1 : 0); }

}  // namespace

Survey::Survey(std::vector<CorpusFiles> corpora, KnownFiles known)
    : corpora_(std::move(corpora)), known_(std::move(known)) {
  for (size_t corpus = 0; corpus < corpora_.size(); ++corpus) {
    for (const Side side : {Side::kSource, Side::kTarget}) {
      File file{.stamp = stamp_of(path(corpus, side))};
      const auto findings = known_.recall(file.stamp);
      if (findings && findings->size() == 2) {
        file.print = {.hash = Fnv1a(static_cast<uint64_t>((*findings)[0])),
                      .lines = (*findings)[1]};
      }
      files_.push_back(std::move(file));
    }
    check_sides(corpus);
  }
}

const std::string& Survey::path(size_t corpus, Side side) const {
  return side == Side::kSource ? corpora_[corpus].source : corpora_[corpus].target;
}

const Survey::File& Survey::file(size_t corpus, Side side) const {
  return files_[place_of(corpus, side)];
}

bool Survey::complete() const {
  return std::ranges::all_of(files_, [](const File& file) { return file.print.has_value(); });
}

void Survey::add(size_t corpus, Side side, const TextPrint& print) {
  File& file = files_[place_of(corpus, side)];
  if (file.print && *file.print != print) {
    known_.forget(file.stamp);  // or else one that is wrong would be in the way for ever
    fail(
        "{}: the training text was changed while it was read: it had {} and has {}; begin again "
        "when nothing changes it any more",
        path(corpus, side), text_of(*file.print), text_of(print));
  }
  if (file.print) return;
  file.print = print;
  check_sides(corpus);
  if (file.stamp.settled)
    known_.remember(file.stamp, {static_cast<int64_t>(print.hash.value()), print.lines});
}

void Survey::check_sides(size_t corpus) const {
  if (!knows(corpus, Side::kSource) || !knows(corpus, Side::kTarget)) return;
  const int64_t lines = file(corpus, Side::kSource).print->lines;
  check_same_length(corpora_[corpus], lines, file(corpus, Side::kTarget).print->lines);
  check_not_empty(corpora_[corpus], lines);
}

std::string Survey::description() const {
  std::string lines;
  for (size_t corpus = 0; corpus < corpora_.size(); ++corpus) {
    const auto text = [&](Side side) {
      return fmt::format("{} ({:016x})",
                         std::filesystem::path(path(corpus, side)).filename().string(),
                         file(corpus, side).print.value().hash.value());
    };
    lines += fmt::format("{}, {}: {} pairs\n", text(Side::kSource), text(Side::kTarget),
                         file(corpus, Side::kSource).print->lines);
  }
  return lines;
}

bool SurveyedLines::next(std::string& line) {
  for (; corpus_ < survey_.corpora().size(); go_on()) {
    if (!wanted() && survey_.knows(corpus_, side_)) continue;
    if (!reader_) reader_.emplace(survey_.path(corpus_, side_));
    while (reader_->next(line)) {
      print_.add(line);
      if (wanted()) return true;
    }
    survey_.add(corpus_, side_, print_);
  }
  return false;
}

void SurveyedLines::go_on() {
  reader_.reset();
  print_ = {};
  corpus_ += side_ == Side::kTarget ? 1 : 0;
  side_ = side_ == Side::kSource ? Side::kTarget : Side::kSource;
}

}  // namespace dragoman
