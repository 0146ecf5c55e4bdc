#include "btm/merge/merge_config.h"

#include <gtest/gtest.h>

#include "btm/merge/config_options.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace {

using btm::MergeConfig;
using btm::MergeMethod;
using btm::read_merge_config;

/// A configuration of models a and b with base c, and more lines.
std::string config_of(const std::string& method, const std::string& more,
                      const std::string& model = "") {
  return "merge_method: " + method + "\nbase_model: c\nmodels:\n- model: a\n" + model +
         "- model: b\n" + more;
}

TEST(MergeConfig, ReadsMergekitsExample) {
  const MergeConfig config = read_merge_config(
      "models:\n"
      "  - model: first\n"
      "    parameters:\n"
      "      density: [1, 0.7, 0.1]\n"
      "      weight: 1.0\n"
      "  - model: second\n"
      "    parameters:\n"
      "      density: \"0.5\"\n"
      "      weight:\n"
      "        - filter: fc1\n"
      "          value: 0.5\n"
      "        - value: 0\n"
      "merge_method: ties\n"
      "base_model: third\n"
      "parameters: {normalize: Yes, int8_mask: true, lambda: 1e-1}\n"
      "dtype: float32\n"
      "out_dtype: float16\n",
      "f");
  EXPECT_EQ(config.method, "ties");
  EXPECT_EQ(config.base_model, "third");
  EXPECT_EQ(config.dtype, "float16");
  ASSERT_EQ(config.models.size(), 2U);
  const auto of = [&](std::size_t model, std::string_view name, std::string_view tensor,
                      double depth) {
    return config.of_model(config.models[model], name, tensor, depth);
  };
  EXPECT_EQ(of(0, "weight", "decoder.x", 0), 1);
  EXPECT_EQ(of(1, "weight", "decoder.layers.1.fc1.bias", 0), 0.5);
  EXPECT_EQ(of(1, "weight", "decoder.x", 0), 0);
  EXPECT_EQ(of(1, "density", "decoder.x", 0.5), 0.5);
  EXPECT_EQ(config.of_all("normalize", "x", 0), 1);
  EXPECT_EQ(config.of_all("lambda", "x", 0), 0.1);
  EXPECT_EQ(config.of_all("rescale", "x", 0), std::nullopt);
  EXPECT_EQ(of(0, "density", "x", 0), 1);
  EXPECT_DOUBLE_EQ(*of(0, "density", "x", 0.25), 0.85);
  EXPECT_DOUBLE_EQ(*of(0, "density", "x", 0.75), 0.4);
  EXPECT_DOUBLE_EQ(*of(0, "density", "x", 1), 0.1);
}

TEST(MergeConfig, FallsBackAsMergekitDoes) {
  const MergeConfig config = read_merge_config(
      config_of("ties", "parameters: {weight: 3, density: [], normalize: [true, false, true]}\n",
                "  parameters: {weight: [{filter: attn, value: 1}], density: []}\n"),
      "f");
  const MergeConfig::Model& own = config.models[0];
  EXPECT_EQ(config.of_model(own, "weight", "self_attn.x", 0), 1);
  EXPECT_EQ(config.of_model(own, "weight", "fc1.x", 0), 3);  // no filter fits
  EXPECT_EQ(config.of_model(config.models[1], "weight", "fc1.x", 0), 3);
  EXPECT_EQ(config.of_model(own, "density", "x", 0), std::nullopt);  // empty lists
  // Truths are not interpolated.
  EXPECT_EQ(config.of_all("normalize", "x", 0.49), 1);
  EXPECT_EQ(config.of_all("normalize", "x", 0.5), 0);
  EXPECT_EQ(config.of_all("normalize", "x", 1), 1);
}

TEST(MergeConfig, RefusesWhatIsNoConfiguration) {
  struct Row {
    std::string text, problem;
  };
  const std::string one = "  parameters: ";
  for (const Row& row : {
           Row{"", "f: line 1: is no map, expected mergekit's 'merge_method: ...'"},
           Row{"models: []\n", "no 'merge_method'"},
           Row{"merge_method: [ties]\n", "line 1: 'merge_method' is no word"},
           Row{"merge_method: mean\nmodels: [{model: a}]\n",
               "line 1: the merge method 'mean', expected one of linear, slerp, task_arithmetic"},
           Row{"merge_method: passthrough\nmodels: [{model: a}]\n", "method 'passthrough'"},
           Row{"merge_method: ties\n", "line 1: no 'models'"},
           Row{"merge_method: ties\nmodels: a\n", "line 2: 'models' is no list of models"},
           Row{"merge_method: ties\nmodels: []\n", "line 2: 'models' is no list of models"},
           Row{"merge_method: ties\nmodels: [a]\n", "a model that is no map"},
           Row{"merge_method: ties\nmodels: [{path: a}]\n", "the unknown key 'path' of a model"},
           Row{"merge_method: ties\nmodels: [{parameters: {}}]\n", "line 2: no 'model'"},
           Row{"merge_method: ties\nmodels: [{model: a}, {model: a}]\n",
               "the model 'a' for the second time"},
           Row{config_of("ties", "tokenizer_source: base\n"),
               "line 6: 'tokenizer_source' is not supported: all models have the same dictionary"},
           Row{config_of("ties", "tokenizer: {source: base}\n"), "'tokenizer' is not supported"},
           Row{config_of("ties", "chat_template: auto\n"), "'chat_template' is not supported"},
           Row{"merge_method: slerp\nslices: [{sources: []}]\n", "'slices' is not supported"},
           Row{"merge_method: slerp\nmodules: {}\n", "'modules' is not supported"},
           Row{config_of("ties", "scale: 1\n"), "line 6: the unknown key 'scale'"},
           Row{config_of("ties", "dtype: float64\n"), "'dtype' is 'float64', expected float32"},
           Row{config_of("ties", "parameters: [1]\n"), "'parameters' is no map"},
           Row{config_of("ties", "parameters: {gamma: 1}\n"),
               "the parameter 'gamma', which ties does not have"},
           Row{config_of("ties", "", one + "{normalize: true}\n"),
               "line 5: the parameter 'normalize' of one model"},
           Row{config_of("ties", "", one + "{weight: heavy}\n"),
               "line 5: 'weight' is 'heavy', expected a number"},
           Row{config_of("ties", "", one + "{weight: .nan}\n"), "'weight' is '.nan'"},
           Row{config_of("ties", "", one + "{weight: nan}\n"), "'weight' is 'nan'"},
           Row{config_of("ties", "", one + "{weight: 1e999}\n"), "'weight' is '1e999'"},
           Row{config_of("ties", "", one + "{weight: 010}\n"), "'weight' is '010'"},
           Row{config_of("ties", "", one + "{weight: 1_000}\n"), "'weight' is '1_000'"},
           Row{config_of("ties", "", one + "{weight: }\n"), "'weight' is no single value"},
           Row{config_of("ties", "", one + "{weight: [[1]]}\n"), "'weight' is no single value"},
           Row{config_of("ties", "", one + "{density: 1.5}\n"),
               "'density' is '1.5', expected at least 0 and at most 1"},
           Row{config_of("ties", "", one + "{density: [0.1, -1]}\n"), "'density' is '-1'"},
           Row{config_of("ties", "", one + "{weight: [{value: 1}, 2]}\n"),
               "'weight' mixes values and filters"},
           Row{config_of("ties", "", one + "{weight: [1, {value: 1}]}\n"),
               "'weight' is no single value"},
           Row{config_of("ties", "", one + "{weight: {filter: a}}\n"), "line 5: no 'value'"},
           Row{config_of("ties", "", one + "{weight: {filter: [a], value: 1}}\n"),
               "'filter' is no word"},
           Row{config_of("ties", "", one + "{weight: {values: 1}}\n"),
               "the unknown key 'values' of 'weight', expected 'filter' and 'value'"},
           Row{config_of("ties", "parameters: {normalize: 2}\n"),
               "'normalize' is '2', expected true or false"},
           Row{config_of("nuslerp", "parameters: {nuslerp_flatten: false}\n"),
               "'nuslerp_flatten' is 'false', expected true"},
           Row{config_of("model_stock", "parameters: {filter_wise: true}\n"),
               "'filter_wise' is 'true', expected false"},
           Row{config_of("multislerp", "parameters: {eps: 1e-8}\n"),
               "which multislerp does not have"},
           Row{config_of("karcher", "parameters: {max_iter: 2.5}\n"),
               "'max_iter' is '2.5', expected a whole number"},
           Row{config_of("karcher", "parameters: {max_iter: [1, 2]}\n"),
               "'max_iter' is a list, expected one number"},
           Row{config_of("karcher", "parameters: {tol: -1}\n"),
               "'tol' is '-1', expected at least 0"},
       })
    btm_test::expect_error<compat::FormatError>([&] { read_merge_config(row.text, "f"); },
                                                row.problem);
}

btm::MergeOptions options_of(const std::string& text) {
  return btm::options_from(read_merge_config(text, "f"), "f");
}

TEST(MergeConfigOptions, LeaveTheBaseOut) {
  const btm::MergeOptions options = options_of(
      "merge_method: dare_ties\nbase_model: b\nmodels: [{model: a}, {model: b}, {model: c}]\n"
      "parameters: {weight: 2, density: 0.3, lambda: 0.5}\ndtype: bfloat16\n");
  EXPECT_EQ(options.method, MergeMethod::kDareTies);
  EXPECT_EQ(options.model_files, (std::vector<std::filesystem::path>{"a", "c"}));
  EXPECT_EQ(options.base_model, "b");
  EXPECT_EQ(options.dtype, compat::DType::kBFloat16);
  const btm::TensorSettings settings = options.settings_of("decoder.x", 2);
  EXPECT_EQ(settings.weights, (std::vector<double>{2, 2}));
  EXPECT_EQ(settings.sparse[1].density, 0.3);
  EXPECT_EQ(settings.scale, 0.5);
  EXPECT_FALSE(settings.normalizes);
  EXPECT_TRUE(settings.rescales);
}

TEST(MergeConfigOptions, FollowTheLayers) {
  const btm::MergeOptions options = options_of(
      "merge_method: slerp\nbase_model: b\nmodels: [{model: a}, {model: b}]\n"
      "parameters: {t: [0.2, 0.4, 0.8]}\n");
  EXPECT_EQ(options.model_files, (std::vector<std::filesystem::path>{"b", "a"}));
  EXPECT_TRUE(options.base_model.empty());
  const auto t = [&](const char* tensor, std::int64_t layers) {
    return options.settings_of(tensor, layers).weights[1];
  };
  EXPECT_DOUBLE_EQ(t("decoder.embed_tokens.weight", 5), 0.2);
  EXPECT_DOUBLE_EQ(t("decoder.layers.0.fc1.weight", 5), 0.2);
  EXPECT_DOUBLE_EQ(t("decoder.layers.1.fc1.weight", 5), 0.3);
  EXPECT_DOUBLE_EQ(t("decoder.layers.4.fc1.weight", 5), 0.8);
  EXPECT_DOUBLE_EQ(t("decoder.layers.0.fc1.weight", 1), 0.8);  // the only layer is the last
  EXPECT_DOUBLE_EQ(t("decoder.layer_norm.weight", 5), 0.2);
  EXPECT_DOUBLE_EQ(options.settings_of("x", 1).weights[0], 0.8);
}

TEST(MergeConfigOptions, NormalizeWeightsWhereMergekitDoes) {
  const auto weights = [](const std::string& method, const std::string& more) {
    return options_of("merge_method: " + method +
                      "\nmodels:\n- {model: a, parameters: {weight: 3}}\n" +
                      "- {model: b, parameters: {weight: 1}}\n" + more)
        .settings_of("decoder.x", 1)
        .weights;
  };
  using Weights = std::vector<double>;
  EXPECT_EQ(weights("linear", ""), (Weights{0.75, 0.25}));
  EXPECT_EQ(weights("linear", "parameters: {normalize: false}\n"), (Weights{3, 1}));
  EXPECT_EQ(weights("nuslerp", ""), (Weights{0.75, 0.25}));
  EXPECT_EQ(weights("multislerp", "parameters: {normalize_weights: off}\n"), (Weights{3, 1}));
  EXPECT_EQ(weights("task_arithmetic", "base_model: c\n"), (Weights{3, 1}));
  EXPECT_EQ(weights("task_arithmetic", "base_model: c\nparameters: {normalize: 1}\n"),
            (Weights{0.75, 0.25}));
  EXPECT_EQ(weights("ties", "base_model: c\n"), (Weights{3, 1}));  // those that count, later
}

TEST(MergeConfigOptions, RefuseModelsThatTheMethodDoesNotTake) {
  struct Row {
    std::string text, problem;
  };
  for (const Row& row : {
           Row{"merge_method: ties\nmodels: [{model: a}]\n", "f: ties needs a 'base_model'"},
           Row{"merge_method: slerp\nmodels: [{model: a}, {model: b}]\n",
               "slerp needs a 'base_model'"},
           Row{config_of("slerp", ""), "slerp merges exactly 1 model beside the base, found 2"},
           Row{config_of("linear", ""), "linear has no base, and the base_model is none of"},
           Row{"merge_method: ties\nbase_model: a\nmodels: [{model: a}]\n",
               "ties merges at least 1 model beside the base, found 0"},
           Row{"merge_method: nuslerp\nmodels: [{model: a}]\n",
               "nuslerp merges exactly 2 models, found 1"},
           Row{"merge_method: model_stock\nbase_model: a\nmodels: [{model: a}, {model: b}]\n",
               "model_stock merges at least 2 models beside the base, found 1"},
       })
    btm_test::expect_error<compat::FormatError>([&] { options_of(row.text); }, row.problem);
}

TEST(MergeConfigOptions, RefuseTensorsWithoutTheirParameters) {
  struct Row {
    std::string text, problem;
  };
  for (const Row& row : {
           Row{config_of("ties", ""), "f: 'decoder.x': no parameter 'weight' of a"},
           Row{config_of("ties", "parameters: {weight: {filter: fc1, value: 1}}\n"),
               "no parameter 'weight' of a"},
           Row{"merge_method: slerp\nbase_model: b\nmodels: [{model: a}]\n", "no parameter 't'"},
           Row{"merge_method: linear\nmodels: [{model: a}]\nparameters: {weight: 0}\n",
               "the weights of the models sum to 0"},
           Row{config_of("della", "parameters: {weight: 1, density: 0.9}\n"),
               "density 0.9 and epsilon 0.15 of a, expected their sum and difference between 0"},
       })
    btm_test::expect_error<compat::FormatError>(
        [&] { options_of(row.text).settings_of("decoder.x", 1); }, row.problem);
}

}  // namespace
