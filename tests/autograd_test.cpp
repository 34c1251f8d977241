#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "core/check.h"

namespace dragoman {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

Tensor values(std::vector<real> numbers) { return Tensor::from(numbers); }

// factor * x, noting its name in `order` when it goes back.
Variable times(Tape& tape, const Variable& x, real factor, std::string_view name = "times",
               std::vector<std::string>* order = nullptr) {
  Tensor y = empty_like(x.value());
  for (int64_t i = 0; i < y.size(); ++i) y.data()[i] = factor * x.data()[i];
  return tape.record(name, y, {x}, [=](Tensor& dy) {
    if (order) order->emplace_back(name);
    const GradientWriter dx = x.gradient();
    for (int64_t i = 0; i < dy.size(); ++i) dx(i, factor * dy.data()[i]);
  });
}

Variable plus(Tape& tape, const Variable& a, const Variable& b) {
  Tensor y = empty_like(a.value());
  for (int64_t i = 0; i < y.size(); ++i) y.data()[i] = a.data()[i] + b.data()[i];
  return tape.record("plus", y, {a, b}, [=](Tensor& dy) {
    a.add_gradient(dy);
    b.add_gradient(std::move(dy));
  });
}

std::vector<real> gradient_of(const Variable& x) { return x.sink()->gradient.to_host(); }

TEST(Tape, GoesBackInReverse) {
  std::vector<std::string> order;
  const Variable x = Variable::leaf(values({1, 2}));
  Tape tape;
  Variable y = times(tape, x, 2, "first", &order);
  y = times(tape, y, 3, "second", &order);
  y = times(tape, y, 5, "third", &order);
  EXPECT_EQ(tape.size(), 3u);
  EXPECT_THAT(y.value().to_host(), ElementsAre(30, 60));
  tape.backward(y);
  EXPECT_THAT(order, ElementsAre("third", "second", "first"));
  EXPECT_THAT(gradient_of(x), ElementsAre(30, 30));
  EXPECT_EQ(tape.size(), 0u);
}

TEST(Tape, AddsUpWhatAVariableIsUsedFor) {
  const Variable x = Variable::leaf(values({1, 2}));
  Tape tape;
  const Variable y = plus(tape, times(tape, x, 2), plus(tape, x, times(tape, x, 4)));
  tape.backward(plus(tape, y, y));
  EXPECT_THAT(gradient_of(x), ElementsAre(14, 14));
}

TEST(Tape, AddsToTheGradientOfTheLastPass) {
  const Variable x = Variable::leaf(values({1}));
  for (int pass = 0; pass < 3; ++pass) {
    Tape tape;
    tape.backward(times(tape, x, 2));
  }
  EXPECT_THAT(gradient_of(x), ElementsAre(6)) << "accumulated over batches";
  x.sink()->written = false;
  Tape tape;
  tape.backward(times(tape, x, 2));
  EXPECT_THAT(gradient_of(x), ElementsAre(2)) << "fresh again";
}

TEST(Tape, LeavesOutWhatTheResultDoesNotUse) {
  std::vector<std::string> order;
  const Variable x = Variable::leaf(values({1})), unused = Variable::leaf(values({1}));
  Tape tape;
  times(tape, unused, 7, "unused", &order);
  const Variable y = times(tape, x, 2, "used", &order);
  times(tape, y, 3, "dropped", &order);
  tape.backward(y);
  EXPECT_THAT(order, ElementsAre("used"));
  EXPECT_THAT(gradient_of(x), ElementsAre(2));
  EXPECT_FALSE(unused.sink()->written);
}

TEST(Tape, GivesUndefinedGradientsForOutputsThatNobodyUsed) {
  const Variable x = Variable::leaf(values({1, 2}));
  Tape tape;
  std::vector<bool> defined;
  const std::vector<Variable> parts =
      tape.record("pair", {values({3, 4}), values({5, 6})}, {x}, [&](std::span<Tensor> dy) {
        for (const Tensor& gradient : dy) defined.push_back(gradient.defined());
        x.add_gradient(dy[1]);
      });
  tape.backward(times(tape, parts[1], 2));
  EXPECT_THAT(defined, ElementsAre(false, true));
  EXPECT_THAT(gradient_of(x), ElementsAre(2, 2));
}

TEST(Tape, RecordsNothingForConstants) {
  Tape tape;
  const Variable y = times(tape, Variable(values({1})), 2);
  EXPECT_FALSE(y.needs_gradient());
  EXPECT_EQ(tape.size(), 0u);
  EXPECT_THAT([&] { tape.backward(y); },
              ThrowsMessage<Error>(HasSubstr("depends on nothing that wants a gradient")));
}

TEST(Tape, RecordsNothingWhenTranslating) {
  Tape tape(false);
  EXPECT_FALSE(tape.recording());
  const Variable y = times(tape, Variable::leaf(values({1})), 2);
  EXPECT_FALSE(y.needs_gradient());
  EXPECT_THAT(y.value().to_host(), ElementsAre(2));
  EXPECT_EQ(tape.size(), 0u);
}

TEST(Tape, NamesEveryMask) {
  const auto keys = [](uint64_t seed, uint32_t step) {
    Tape tape;
    EXPECT_FALSE(tape.training());
    tape.set_training(seed, step);
    EXPECT_TRUE(tape.training());
    std::vector<std::vector<uint64_t>> result;
    for (int i = 0; i < 3; ++i) {
      const RandomKey key = tape.next_random_key();
      result.push_back({key.seed, key.step.get(), key.site});
    }
    return result;
  };
  using Key = std::vector<uint64_t>;
  EXPECT_THAT(keys(9, 4), ElementsAre(Key{9, 4, 0}, Key{9, 4, 1}, Key{9, 4, 2}));
  EXPECT_EQ(keys(9, 4), keys(9, 4));
}

TEST(Tape, NamesTheOperationThatIsNotFinite) {
  const real infinity = std::numeric_limits<real>::infinity();
  const Variable x = Variable::leaf(values({1, 2, 3}));
  Tape tape;
  tape.set_check_finite(true);
  const Variable y = times(tape, x, 2, "sound");
  EXPECT_THAT([&] { times(tape, y, infinity, "explosion"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("'explosion'"), HasSubstr("[3]"))));
}

TEST(Tape, NamesTheInputsThatWereNotFiniteBefore) {
  const Variable x = Variable::leaf(values({1, std::numeric_limits<real>::quiet_NaN()}));
  Tape tape;
  tape.set_check_finite(true);
  EXPECT_THAT([&] { times(tape, x, 2); },
              ThrowsMessage<Error>(AllOf(HasSubstr("'times'"), HasSubstr("[2] (not finite)"))));
}

TEST(Tape, NamesTheOperationWhoseGradientIsNotFinite) {
  const Variable x = Variable::leaf(values({1, 2, 3}));
  Tape tape;
  tape.set_check_finite(true);
  const Variable y = tape.record("cliff", x.value().clone(), {x}, [=](Tensor& dy) {
    const GradientWriter dx = x.gradient();
    for (int64_t i = 0; i < dy.size(); ++i) dx(i, dy.data()[i] / (static_cast<real>(i) - 1));
  });
  const Variable root = times(tape, y, 2, "sound");
  EXPECT_THAT([&] { tape.backward(root); },
              ThrowsMessage<Error>(AllOf(HasSubstr("'cliff'"), HasSubstr("[3]"))));
}

TEST(Tape, ChecksNothingUnlessAsked) {
  Tape tape;
  const Variable y = times(tape, Variable::leaf(values({1})), std::nanf(""));
  EXPECT_FALSE(all_finite(y.value()));
}

TEST(Tape, FreesAsItGoesBack) {
  Allocator& allocator = Allocator::of(Device{});
  const Variable x = Variable::leaf(Tensor::zeros({1 << 16}));
  const size_t bytes = static_cast<size_t>(x.value().size()) * sizeof(real);
  const size_t before = allocator.statistics().in_use;
  {
    constexpr size_t kSteps = 10;
    Tape tape;
    Variable y = x;
    for (size_t step = 0; step < kSteps; ++step) y = times(tape, y, 1);
    const size_t forward = allocator.statistics().in_use - before;
    EXPECT_EQ(forward, kSteps * bytes);
    allocator.reset_peak();
    const Variable root = std::exchange(y, Variable());
    tape.backward(root);
    // Each step frees a value for the gradient it makes: at most the seed, one gradient coming in
    // and one going out are held besides.
    EXPECT_LE(allocator.statistics().peak - before, forward + 3 * bytes);
  }
  EXPECT_EQ(allocator.statistics().in_use - before, bytes) << "the gradient of x";
}

TEST(Variable, TakesOverTheMemoryOfAFirstGradient) {
  const Variable x = Variable::leaf(values({1, 2}));
  Tensor gradient = values({3, 4});
  const real* memory = gradient.data();
  x.add_gradient(std::move(gradient));
  EXPECT_EQ(x.sink()->gradient.data(), memory);
}

TEST(Variable, CopiesAGradientThatOthersReadBeforeAddingToIt) {
  const Tensor shared = values({10, 20});
  const Variable x = Variable::leaf(values({1, 2})), y = Variable::leaf(values({1, 2}));
  for (const Variable& reader : {x, y}) {
    reader.add_gradient(shared);
    EXPECT_EQ(reader.sink()->gradient.data(), shared.data()) << "nobody writes to it";
  }
  y.add_gradient(shared);
  EXPECT_THAT(gradient_of(y), ElementsAre(20, 40));
  EXPECT_THAT(gradient_of(x), ElementsAre(10, 20));
  EXPECT_THAT(shared.to_host(), ElementsAre(10, 20));
}

TEST(Variable, AddsToItsOwnPartOfATensorInPlace) {
  const Tensor whole = values({1, 2, 3, 4}).reshape({2, 2});
  const Variable x = Variable::leaf(values({1, 2})), y = Variable::leaf(values({1, 2}));
  x.add_own_part(whole.slice_rows(0, 1));
  y.add_own_part(whole.slice_rows(1, 2));
  x.add_gradient(values({10, 20}));
  EXPECT_THAT(whole.to_host(), ElementsAre(11, 22, 3, 4));
  EXPECT_THAT(gradient_of(y), ElementsAre(3, 4));
}

TEST(Tape, FindsWhatTapesBeforeItPrepared) {
  int made = 0;
  const auto make = [&] { return std::make_shared<int>(++made); };
  const Tape::Key key{&made};
  const auto prepared = std::make_shared<PreparedObjects>();
  for (const int number : {1, 1}) {
    Tape tape(prepared);
    EXPECT_FALSE(tape.recording());
    EXPECT_EQ(*tape.prepared<int>(key, make), number);
  }
  Tape alone(/*recording=*/false);
  EXPECT_EQ(*alone.prepared<int>(key, make), 2);
  Tape other(prepared);
  EXPECT_EQ(*other.shared<int>(key, make), 3) << "what depends on a batch is a tape's own";
}

TEST(Variable, RejectsAGradientOfAnotherSize) {
  const Variable x = Variable::leaf(values({1, 2}));
  EXPECT_THROW(x.add_gradient(values({1, 2, 3})), Error);
}

TEST(Variable, ZeroedGradientsCanBeAddedToInPart) {
  const Variable x = Variable::leaf(values({1, 2, 3}));
  x.sink()->gradient = values({7, 7, 7});  // left over, not written
  x.zeroed_gradient()(1, 5);
  EXPECT_THAT(gradient_of(x), ElementsAre(0, 5, 0));
  x.zeroed_gradient()(1, 5);
  EXPECT_THAT(gradient_of(x), ElementsAre(0, 10, 0));
}

TEST(Variable, ConstantsTakeNoGradient) {
  const Variable x(values({1}));
  EXPECT_FALSE(x.gradient());
  EXPECT_FALSE(x.zeroed_gradient());
  x.add_gradient(values({1}));
  EXPECT_FALSE(x.needs_gradient());
}

}  // namespace
}  // namespace dragoman
