#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "btm/merge/merge_options.h"
#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace {

using btm::MergeMethod;
using btm::MergeOptions;
using btm_test::golden;
using btm_test::TempDir;
using btm_test::write_tiny_checkpoint;
using compat::Checkpoint;
using compat::TensorView;
namespace fs = std::filesystem;

fs::path elm(std::string_view domain) {
  return golden("checkpoints") / ("elm_" + std::string(domain));
}

std::vector<std::byte> bytes_of(const TensorView& view) {
  std::vector<std::byte> scratch;
  const auto bytes = view.contiguous_bytes(scratch);
  return {bytes.begin(), bytes.end()};
}

std::vector<float> floats(const fs::path& path, std::string_view name = "decoder.w") {
  const Checkpoint checkpoint = Checkpoint::open(path);
  const auto bytes = bytes_of(*checkpoint.find(name));
  std::vector<float> out(bytes.size() / sizeof(float));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

class Merge : public testing::Test {
 protected:
  fs::path file(std::string_view name, std::vector<float> values) {
    write_tiny_checkpoint(dir_ / name, {{"decoder.w", std::move(values)}});
    return dir_ / name;
  }
  MergeOptions options(std::vector<fs::path> models, MergeMethod method = MergeMethod::kLinear) {
    MergeOptions options;
    options.model_files = std::move(models);
    options.method = method;
    options.output = dir_ / "out.pt";
    options.num_threads = 2;
    return options;
  }
  fs::path out() const { return dir_ / "out.pt"; }
  TempDir dir_;
};

TEST_F(Merge, EqualsTheReleasesAverageToTheLastBit) {
  auto request = options({elm("fortunes"), elm("jargon"), elm("perl"), elm("politics")});
  request.weights = {0.25, 0.25, 0.25, 0.25};
  btm::merge_checkpoints(request);
  const Checkpoint ours = Checkpoint::open(out());
  const Checkpoint theirs =
      Checkpoint::open(golden("checkpoints/average_uniform4/checkpoint_last.pt"));
  ASSERT_EQ(ours.model().size(), theirs.model().size());
  for (const auto& [name, view] : theirs.model()) {
    ASSERT_NE(ours.find(name), nullptr) << name;
    EXPECT_EQ(bytes_of(*ours.find(name)), bytes_of(view)) << name;
  }
}

TEST_F(Merge, KeepsTiesAndWhateverElseTheFirstFileHolds) {
  const fs::path seed = golden("checkpoints/seed/checkpoint_1_100.pt");
  auto request = options({seed, elm("perl")});
  request.weights = {0.5, 0.5};
  btm::merge_checkpoints(request);
  const Checkpoint merged = Checkpoint::open(out()), first = Checkpoint::open(seed);
  EXPECT_EQ(merged.find("decoder.embed_tokens.weight")->storage,
            merged.find("decoder.output_projection.weight")->storage);
  EXPECT_EQ(bytes_of(*merged.find("decoder.version")), bytes_of(*first.find("decoder.version")));
  const auto& entries = first.root().get_if<compat::PickleDict>()->items;
  for (const auto& [key, value] : entries)
    EXPECT_EQ(merged.root().find(*key->get_if<std::string>())->value.index(), value->value.index())
        << *key->get_if<std::string>();
  const auto moment = [](const Checkpoint& checkpoint) {
    const auto& state = checkpoint.find_entry("last_optimizer_state")
                            ->find("state")
                            ->get_if<compat::PickleDict>()
                            ->items;
    return bytes_of(state.front().second->find("exp_avg")->get_if<compat::PickleTensor>()->view);
  };
  EXPECT_EQ(moment(merged), moment(first));
}

TEST_F(Merge, TakesDemixShardsWithTheirSharedHalf) {
  auto request = options({golden("checkpoints/demix/checkpoint_last-rank-1.pt"), elm("perl")});
  request.weights = {1, 0};
  btm::merge_checkpoints(request);
  const Checkpoint merged = Checkpoint::open(out()),
                   dense = Checkpoint::open(golden("checkpoints/demix/checkpoint_last-rank-1.pt"));
  ASSERT_EQ(merged.model().size(), dense.model().size());
  for (const auto& [name, view] : dense.model()) {
    const auto ours = bytes_of(*merged.find(name)), theirs = bytes_of(view);
    for (std::size_t i = 0; i + 4 <= ours.size() && view.dtype() == compat::DType::kFloat32;
         i += 4) {
      float a = 0, b = 0;
      std::memcpy(&a, &ours[i], 4);
      std::memcpy(&b, &theirs[i], 4);
      ASSERT_EQ(a, b) << name;  // -0 becomes 0, as 0 is added
    }
  }
}

TEST_F(Merge, GivesTheSameBytesOnAnyNumberOfThreads) {
  std::vector<float> a(300003), b(300003), base(300003);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i] = std::sin(static_cast<float>(i));
    b[i] = std::cos(static_cast<float>(i) * 1.7f);
    base[i] = 0.1f * std::sin(static_cast<float>(i) * 0.3f);
  }
  const fs::path first = file("a.pt", a), second = file("b.pt", b), third = file("base.pt", base);
  for (const MergeMethod method : btm::kMergeMethods) {
    auto request = options({first, second}, method);
    if (btm::needs_base_model(method)) request.base_model = third;
    if (btm::sparse_method(method, false)) request.density = {0.4};
    if (method == MergeMethod::kSce) request.select_topk = 0.3;
    request.num_threads = 1;
    btm::merge_checkpoints(request);
    const std::string alone = btm_test::read_file(out());
    request.num_threads = 3;
    btm::merge_checkpoints(request);
    EXPECT_EQ(alone, btm_test::read_file(out())) << btm::merge_method_name(method);
  }
}

TEST_F(Merge, SlerpsEachTensorAlongItsCircle) {
  auto request = options({file("a.pt", {1, 0}), file("b.pt", {0, 1})}, MergeMethod::kSlerp);
  request.weights = {0.75, 0.25};
  btm::merge_checkpoints(request);
  const std::vector<float> result = floats(out());
  const double quarter = std::acos(-1.0) / 8;  // a quarter of the right angle
  EXPECT_NEAR(result[0], std::cos(quarter), 1e-6);
  EXPECT_NEAR(result[1], std::sin(quarter), 1e-6);
}

TEST_F(Merge, TrimsTiesOverTheWholeModel) {
  // The paper ranks all elements of a task vector together. Here that trims all elements of the
  // small tensor.
  const auto write = [&](std::string_view name, float large, float small) {
    write_tiny_checkpoint(dir_ / name, {{"decoder.large", {large, large, large, large}},
                                        {"decoder.small", {small, small, small, small}}});
    return dir_ / name;
  };
  auto request = options({write("a.pt", 3, 0.5f), write("b.pt", 5, 0.25f)}, MergeMethod::kTies);
  request.base_model = write("base.pt", 1, 0);
  request.density = {0.5};
  request.scale = 2;
  btm::merge_checkpoints(request);
  EXPECT_EQ(floats(out(), "decoder.large"),
            (std::vector<float>(4, 1 + 2 * 3)));  // mean of 2 and 4, scaled
  EXPECT_EQ(floats(out(), "decoder.small"), (std::vector<float>(4, 0)));
}

TEST_F(Merge, TrimsTiesTensorByTensorWhereAsked) {
  // mergekit keeps the larger half of each tensor, also when its differences are small beside those
  // of other tensors.
  const auto write = [&](std::string_view name, float large, float small) {
    write_tiny_checkpoint(dir_ / name, {{"decoder.large", {large, large, 0.9f, 0.9f}},
                                        {"decoder.small", {small, small, 0.001f, 0}}});
    return dir_ / name;
  };
  auto request = options({write("a.pt", 3, 0.5f), write("b.pt", 5, 0.25f)}, MergeMethod::kTies);
  write_tiny_checkpoint(dir_ / "base.pt",
                        {{"decoder.large", {1, 1, 1, 1}}, {"decoder.small", {0, 0, 0, 0}}});
  request.base_model = dir_ / "base.pt";
  request.density = {0.5};
  request.trims_tensors = true;
  btm::merge_checkpoints(request);
  EXPECT_EQ(floats(out(), "decoder.large"), (std::vector<float>{4, 4, 1, 1}));
  EXPECT_EQ(floats(out(), "decoder.small"), (std::vector<float>{0.375f, 0.375f, 0, 0}));
}

TEST_F(Merge, AddsScaledTaskVectorsToTheBase) {
  auto request =
      options({file("a.pt", {2, 2}), file("b.pt", {0, 5})}, MergeMethod::kTaskArithmetic);
  request.base_model = file("base.pt", {1, 1});
  request.scale = 0.5;
  btm::merge_checkpoints(request);
  EXPECT_EQ(floats(out()), (std::vector<float>{1 + 0.5f * (1 - 1), 1 + 0.5f * (1 + 4)}));
}

TEST_F(Merge, KeepsAllWithDareOfDensityOne) {
  auto request = options({file("a.pt", {2, 2}), file("b.pt", {0, 5})}, MergeMethod::kDare);
  request.base_model = file("base.pt", {1, 1});
  request.density = {1};
  btm::merge_checkpoints(request);
  EXPECT_EQ(floats(out()), (std::vector<float>{1, 6}));
}

TEST_F(Merge, TakesWeightsOfGroupsOfLayers) {
  for (const char* const name : {"a.pt", "b.pt"}) {
    const float value = name[0] == 'a' ? 1 : 0;
    write_tiny_checkpoint(dir_ / name, {{"decoder.embed_tokens.weight", {value}},
                                        {"decoder.layers.0.fc1.weight", {value}},
                                        {"decoder.layers.1.fc1.weight", {value}},
                                        {"decoder.layer_norm.weight", {value}}});
  }
  auto request = options({dir_ / "a.pt", dir_ / "b.pt"});
  request.group_weights = {{0.25, 0.75}, {0.5, 0.5}};
  btm::merge_checkpoints(request);
  EXPECT_EQ(floats(out(), "decoder.embed_tokens.weight"), std::vector<float>{0.25});
  EXPECT_EQ(floats(out(), "decoder.layers.0.fc1.weight"), std::vector<float>{0.25});
  EXPECT_EQ(floats(out(), "decoder.layers.1.fc1.weight"), std::vector<float>{0.5});
  EXPECT_EQ(floats(out(), "decoder.layer_norm.weight"), std::vector<float>{0.5});
}

/// A model whose output projection is its embedding, and which holds it as a tensor of its own.
TEST_F(Merge, GivesATiedOutputTheWeightsOfItsEmbedding) {
  constexpr std::string_view kOutput = "decoder.output_projection.weight";
  const auto written = [&](const fs::path& model, const char* name) {
    const Checkpoint checkpoint = Checkpoint::open(model);
    compat::NamedTensors tensors = checkpoint.model();
    std::erase_if(tensors, [&](const auto& entry) { return entry.first == kOutput; });
    const TensorView embedding = *checkpoint.find("decoder.embed_tokens.weight");
    auto own = compat::Storage::copy_of(embedding.dtype(), bytes_of(embedding));
    tensors.emplace_back(kOutput, TensorView::contiguous(std::move(own), embedding.shape));
    compat::PickleArena arena;
    compat::save_checkpoint(dir_ / name, *compat::with_model(arena, checkpoint.root(), tensors));
    return dir_ / name;
  };
  auto request = options({written(elm("perl") / "checkpoint_last.pt", "a.pt"),
                          written(elm("jargon") / "checkpoint_last.pt", "b.pt")});
  request.group_weights = {{0.25, 0.75}, {1, 0}};
  btm::merge_checkpoints(request);
  EXPECT_EQ(floats(out(), kOutput), floats(out(), "decoder.embed_tokens.weight"));
}

/// mergekit sorts the differences, and equal ones keep their order. Here most are equal, and they
/// fill three pieces.
TEST_F(Merge, CutsBreadcrumbsWhereAStableSortCutsThem) {
  std::vector<float> task(300'000), base(task.size(), 0.0f);
  for (std::size_t j = 0; j < task.size(); ++j)
    task[j] = (j % 3 == 0 ? -1.0f : 1.0f) * static_cast<float>(j * 7919 % 10);
  auto request = options({file("a.pt", task)}, MergeMethod::kBreadcrumbs);
  request.base_model = file("base.pt", base);
  request.density = {0.33};
  request.gamma = 0.25;
  btm::merge_checkpoints(request);
  std::vector<std::size_t> order(task.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](std::size_t j) { return std::abs(task[j]); });
  std::vector<float> expected(task.size());
  for (std::size_t place = 300'000 - 99'000 - 75'000; place < 300'000 - 75'000; ++place)
    expected[order[place]] = task[order[place]];
  EXPECT_EQ(floats(out()), expected);
}

TEST_F(Merge, RescalesWhatIsDrawnToTheNormOfTheWhole) {
  std::vector<float> task(200'000);
  for (std::size_t j = 0; j < task.size(); ++j) task[j] = std::sin(static_cast<float>(j));
  const auto norm = [](const std::vector<float>& values) {
    double sum = 0;
    for (const float value : values) sum += std::abs(static_cast<double>(value));
    return sum;
  };
  for (const MergeMethod method : {MergeMethod::kDareLinear, MergeMethod::kDella}) {
    auto request = options({file("a.pt", task)}, method);
    request.base_model = file("base.pt", std::vector<float>(task.size()));
    request.density = {0.3};
    btm::merge_checkpoints(request);
    const std::vector<float> merged = floats(out());
    EXPECT_NEAR(static_cast<double>(std::ranges::count(merged, 0.0f)) / 200'000, 0.7, 0.01);
    EXPECT_NEAR(norm(merged) / norm(task), 1, 1e-6);
    request.rescale = false;
    btm::merge_checkpoints(request);
    const std::vector<float> plain = floats(out());
    for (std::size_t j = 0; j < task.size(); ++j)
      ASSERT_TRUE(plain[j] == 0 || plain[j] == task[j]) << j;
  }
}

TEST_F(Merge, SelectsWhatVariesForSce) {
  // The first two elements vary most. Mean squares: (4 + 1) / 4 and (0 + 9) / 4.
  const fs::path a = file("a.pt", {2, -1, 0.5f, 1}), b = file("b.pt", {0, 3, 0.25f, 1});
  auto request = options({a, b}, MergeMethod::kSce);
  request.base_model = file("base.pt", {0, 0, 0, 0});
  request.select_topk = 0.7;  // two of the three that vary
  btm::merge_checkpoints(request);
  EXPECT_EQ(floats(out()), (std::vector<float>{2, 3, 0, 0}));
}

/// (1, 0) and (0, 1) are at a right angle, also as differences to the base.
TEST_F(Merge, SumsTensorsByTheirInnerProducts) {
  const auto a = file("a.pt", {3, 2}), b = file("b.pt", {2, 3}), base = file("base.pt", {2, 2});
  const float half = static_cast<float>(std::sqrt(0.5));
  auto request = options({a, b}, MergeMethod::kNuslerp);
  request.base_model = base;
  btm::merge_checkpoints(request);
  EXPECT_NEAR(floats(out())[0], 2 + half, 1e-6);
  request.method = MergeMethod::kMultislerp;
  btm::merge_checkpoints(request);
  EXPECT_NEAR(floats(out())[1], 2 + half, 1e-6);
  request.method = MergeMethod::kModelStock;
  btm::merge_checkpoints(request);
  EXPECT_NEAR(floats(out())[0], 2, 1e-6);
  request = options({a, b}, MergeMethod::kKarcher);
  btm::merge_checkpoints(request);
  EXPECT_NEAR(floats(out())[0], std::sqrt(13 / 2.0), 1e-5);
}

TEST_F(Merge, WritesTheDtypeAskedForAndReadsIt) {
  const fs::path a = file("a.pt", {1.0009765f, -65000, 1e-7f}),
                 b = file("b.pt", {1.0009765f, -65000, 1e-7f});
  for (const compat::DType dtype : {compat::DType::kFloat16, compat::DType::kBFloat16}) {
    auto request = options({a, b});
    request.dtype = dtype;
    btm::merge_checkpoints(request);
    EXPECT_EQ(Checkpoint::open(out()).find("decoder.w")->dtype(), dtype);
    fs::rename(out(), dir_ / "half.pt");
    auto back = options({dir_ / "half.pt"});
    back.dtype = compat::DType::kFloat32;
    btm::merge_checkpoints(back);
    const std::vector<float> values = floats(out());
    if (dtype == compat::DType::kFloat16) {
      EXPECT_EQ(values[0], 1.0009765625f);
      EXPECT_EQ(values[1], -64992.0f);
      EXPECT_EQ(values[2], 0x1p-23f);  // two steps of the smallest half
    } else {
      EXPECT_EQ(values[0], 1.0f);
      EXPECT_EQ(values[1], -65024.0f);
      EXPECT_NEAR(values[2], 1e-7f, 4e-10f);
    }
  }
}

TEST_F(Merge, FollowsTheFirstFilesDtype) {
  auto request = options({golden("variants/zip_float16.pt"), golden("variants/zip_float16.pt")});
  btm::merge_checkpoints(request);
  const Checkpoint merged = Checkpoint::open(out()),
                   first = Checkpoint::open(golden("variants/zip_float16.pt"));
  for (const auto& [name, view] : first.model())
    EXPECT_EQ(bytes_of(*merged.find(name)), bytes_of(view)) << name;
}

TEST_F(Merge, RefusesWeightsThatDoNotFit) {
  const fs::path a = file("a.pt", {1}), b = file("b.pt", {2});
  struct Row {
    std::vector<double> weights;
    std::string_view phrase;
  };
  for (const Row& row :
       {Row{{1.0}, "1 weights for 2 models, expected one each"},
        Row{{0.5, NAN}, "not a finite number"}, Row{{INFINITY, 0}, "not a finite number"},
        Row{{1.5, -0.5}, "weight -0.5 is negative"},
        Row{{0.5, 0.6}, "the weights sum to 1.1, expected 1"}}) {
    auto request = options({a, b});
    request.weights = row.weights;
    btm_test::expect_error<compat::UsageError>([&] { btm::merge_checkpoints(request); },
                                               row.phrase);
  }
  auto zeros = options({a, b});
  zeros.weights = {0, 0};
  zeros.normalize = true;
  btm_test::expect_error<compat::UsageError>([&] { btm::merge_checkpoints(zeros); },
                                             "cannot be normalized");
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(Merge, NormalizesOrTakesWeightsAsTheyAreWhenTold) {
  auto request = options({file("a.pt", {1}), file("b.pt", {2})});
  request.weights = {3, 1};
  request.normalize = true;
  btm::merge_checkpoints(request);
  EXPECT_EQ(floats(out()), (std::vector<float>{1.25f}));
  request.normalize = false;
  request.allow_unnormalized = true;
  request.weights = {3, -1};
  btm::merge_checkpoints(request);
  EXPECT_EQ(floats(out()), (std::vector<float>{1}));
}

TEST_F(Merge, ListsHowModelsDiffer) {
  write_tiny_checkpoint(dir_ / "a.pt", {{"decoder.w", {1, 2}}, {"decoder.x", {1}}},
                        {{"model", "activation_fn", "gelu"}});
  write_tiny_checkpoint(dir_ / "b.pt", {{"decoder.w", {1, 2, 3}}, {"decoder.y", {1}}},
                        {{"model", "activation_fn", "relu"}});
  const std::string message = btm_test::message_of<compat::FormatError>([&] {
    btm::merge_checkpoints(options({dir_ / "a.pt", dir_ / "b.pt"}));
  });
  for (const std::string_view phrase :
       {"b.pt", "decoder.w is [3], expected [2]", "has no decoder.x", "has decoder.y too",
        "activation_fn is relu, expected gelu"})
    EXPECT_NE(message.find(phrase), std::string::npos) << message;
}

TEST_F(Merge, RefusesModelsThatDifferInASettingOutsideTheWeights) {
  const auto refused = [&](const fs::path& a, const fs::path& b, std::string_view phrase) {
    btm_test::expect_error<compat::FormatError>(
        [&] {
          btm::merge_checkpoints(options({a, b}));
        },
        phrase);
    EXPECT_FALSE(fs::exists(out()));
  };
  const fs::path plain = golden("hf_import/gpt2_eps_1e-05/model.safetensors"),
                 other = golden("hf_import/gpt2_eps_0.001/model.safetensors");
  refused(plain, other, "layer_norm_epsilon is 0.001, expected 1e-05");
  refused(other, plain, "layer_norm_epsilon is 1e-05, expected 0.001");
  // A default of the architecture that only one of them states, and settings that this program does
  // not use.
  write_tiny_checkpoint(dir_ / "a.pt", {{"decoder.w", {1}}},
                        {{"model", "_name", "transformer_lm"}});
  write_tiny_checkpoint(dir_ / "b.pt", {{"decoder.w", {1}}},
                        {{"model", "_name", "transformer_lm"}, {"model", "activation_fn", "gelu"}});
  write_tiny_checkpoint(dir_ / "c.pt", {{"decoder.w", {1}}},
                        {{"model", "_name", "transformer_lm"}, {"model", "alibi", "True"}});
  refused(dir_ / "a.pt", dir_ / "b.pt", "activation_fn is gelu, expected relu");
  refused(dir_ / "a.pt", dir_ / "c.pt",
          "its settings beyond a plain decoder: ALiBi positions (alibi=True), expected none");
  EXPECT_NO_THROW(btm::merge_checkpoints(options({dir_ / "c.pt", dir_ / "c.pt"})));
}

TEST_F(Merge, RefusesAnotherDictionary) {
  fs::create_directories(dir_ / "one");
  fs::create_directories(dir_ / "two");
  btm_test::write_file(dir_ / "one" / "dict.txt", "a 1\nb 1\n");
  btm_test::write_file(dir_ / "two" / "dict.txt", "b 1\na 1\n");
  const auto with_data = [&](std::string_view name, const fs::path& data) {
    write_tiny_checkpoint(dir_ / name, {{"decoder.w", {1, 2}}}, {{"task", "data", data.string()}});
    return dir_ / name;
  };
  const fs::path a = with_data("a.pt", dir_ / "one"), b = with_data("b.pt", dir_ / "two");
  btm_test::expect_error<compat::FormatError>(
      [&] {
        btm::merge_checkpoints(options({a, b}));
      },
      "b.pt: has another dictionary than " + a.string() + ": line 1 is 'b', expected 'a'");
  EXPECT_NO_THROW(btm::merge_checkpoints(options({a, a})));
}

TEST_F(Merge, KeepsAndComparesDigests) {
  const auto with_digest = [&](std::string_view name, char digit) {
    write_tiny_checkpoint(dir_ / name, {{"decoder.w", {1, 2}}});
    compat::PickleArena arena;
    const Checkpoint plain = Checkpoint::open(dir_ / name);
    compat::save_checkpoint(dir_ / ("known_" + std::string(name)),
                            *compat::with_dictionary(arena, plain.root(), std::string(64, digit)));
    return dir_ / ("known_" + std::string(name));
  };
  const fs::path unknown = file("none.pt", {3, 4}), a = with_digest("a.pt", 'a'),
                 b = with_digest("b.pt", 'b');
  btm::merge_checkpoints(options({unknown, a}));
  EXPECT_EQ(Checkpoint::open(out()).dictionary().sha256, std::string(64, 'a'));
  // The first known one counts, at any position.
  btm_test::expect_error<compat::FormatError>(
      [&] {
        btm::merge_checkpoints(options({unknown, a, b}));
      },
      "known_b.pt: has another dictionary (SHA-256 bbbbbbbbbbbb...) than " + a.string());
}

TEST_F(Merge, RefusesWhatAMethodCannotTake) {
  const fs::path a = file("a.pt", {1}), b = file("b.pt", {2});
  const auto refused = [&](MergeOptions request, std::string_view phrase) {
    btm_test::expect_error<compat::UsageError>([&] { btm::merge_checkpoints(request); }, phrase);
  };
  refused(options({a, b}, MergeMethod::kTies), "ties needs a base model");
  refused(options({a, b, a}, MergeMethod::kSlerp), "slerp merges two models, found 3");
  auto with_base = options({a, b});
  with_base.base_model = a;
  refused(with_base, "linear uses no base model");
  auto onto_itself = options({a, b});
  onto_itself.output = a;
  refused(onto_itself, "is one of the models");
  auto nothing = options({});
  refused(nothing, "no models");
  auto densities = options({a, b}, MergeMethod::kBreadcrumbs);
  densities.density = {0.1, 0.2, 0.3};
  refused(densities, "3 densities for 2 models, expected one, or one each");
  densities.method = MergeMethod::kTies;
  refused(densities, "3 densities for 2 models, expected one");
  auto della = options({a, b}, MergeMethod::kDella);
  della.density = {0.1};
  refused(della, "della keeps elements with probabilities from -0.05 to 0.25");
  auto sce = options({a, b}, MergeMethod::kSce);
  sce.weights = {1, 1};
  refused(sce, "sce finds the weights of the models itself");
}

TEST_F(Merge, NoticesDamageInAnyModelAndWritesNothing) {
  std::string bytes = btm_test::read_file(elm("perl") / "checkpoint_last.pt");
  bytes[bytes.size() / 2] ^= 1;
  btm_test::write_file(dir_ / "damaged.pt", bytes);
  for (const MergeMethod method : {MergeMethod::kLinear, MergeMethod::kSlerp, MergeMethod::kTies}) {
    auto request = options({elm("jargon"), dir_ / "damaged.pt"}, method);
    if (btm::needs_base_model(method)) request.base_model = elm("politics");
    btm_test::expect_error<compat::FormatError>([&] { btm::merge_checkpoints(request); },
                                                "damaged: CRC-32");
    EXPECT_FALSE(fs::exists(out()));
  }
}

TEST_F(Merge, RefusesToTrimWhatIsNotANumber) {
  auto request = options({file("a.pt", {1, NAN})}, MergeMethod::kTies);
  request.base_model = file("base.pt", {0, 0});
  btm_test::expect_error<compat::FormatError>([&] { btm::merge_checkpoints(request); },
                                              "infinity or NaN");
}

TEST_F(Merge, RefusesAModelThatDiverged) {
  for (const MergeMethod method : {MergeMethod::kLinear, MergeMethod::kSlerp,
                                   MergeMethod::kTaskArithmetic, MergeMethod::kDare}) {
    auto request = options({file("a.pt", {1, 2}), file("b.pt", {1, NAN})}, method);
    if (btm::needs_base_model(method)) request.base_model = file("base.pt", {0, 0});
    btm_test::expect_error<compat::FormatError>([&] { btm::merge_checkpoints(request); },
                                                "b.pt: 'decoder.w' holds infinity or NaN");
    EXPECT_FALSE(fs::exists(out()));
  }
  auto request = options({file("a.pt", {1, 2})}, MergeMethod::kTaskArithmetic);
  request.base_model = file("base.pt", {0, INFINITY});
  btm_test::expect_error<compat::FormatError>([&] { btm::merge_checkpoints(request); },
                                              "base.pt: 'decoder.w' holds infinity or NaN");
}

TEST_F(Merge, DoesNotReadModelsOfWeightZero) {
  auto request = options({file("a.pt", {NAN, INFINITY}), file("b.pt", {1, 2})});
  request.weights = {0, 1};  // what ensemble-eval --skip-diverged leaves for --weights-from
  btm::merge_checkpoints(request);
  EXPECT_EQ(floats(out()), (std::vector<float>{1, 2}));
}

TEST_F(Merge, RefusesAResultThatItsTypeCannotHold) {
  auto request = options({file("a.pt", {1, 65000})});
  request.dtype = compat::DType::kFloat16;
  btm::merge_checkpoints(request);
  request.model_files = {file("a.pt", {1, 65520})};
  btm_test::expect_error<compat::FormatError>(
      [&] { btm::merge_checkpoints(request); },
      "'decoder.w' of the merged model is beyond what float16 holds");
  request = options({file("a.pt", {1, 2})}, MergeMethod::kTaskArithmetic);
  request.base_model = file("base.pt", {0, -2e38f});
  request.scale = 1e30;
  btm_test::expect_error<compat::FormatError>([&] { btm::merge_checkpoints(request); },
                                              "beyond what float32 holds");
}

TEST(ReadPosterior, TakesTheLastLine) {
  TempDir dir;
  btm_test::write_file(
      dir / "r.jsonl",
      "{\"exp_avg_posterior\": [1, 0]}\n{\"ppl\": 3, \"exp_avg_posterior\": [0.25, 0.75]}\n");
  EXPECT_EQ(btm::read_posterior(dir / "r.jsonl"), (std::vector<double>{0.25, 0.75}));
}

TEST(ReadPosterior, RefusesOtherFiles) {
  TempDir dir;
  for (const std::string_view text :
       {"", "\n", "nothing", "[1]", "{\"exp_avg_posterior\": 1}", "{\"exp_avg_posterior\": []}",
        "{\"exp_avg_posterior\": [\"a\"]}",
        "{\"exp_avg_posterior\": [0.5, 0.5]}\n{\"ppl\": 1}\n"}) {
    btm_test::write_file(dir / "r.jsonl", text);
    btm_test::expect_error<compat::FormatError>([&] { btm::read_posterior(dir / "r.jsonl"); },
                                                "exp_avg_posterior");
  }
}

}  // namespace
