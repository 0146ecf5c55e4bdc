#include "compat/huggingface/huggingface_config.h"

#include <gtest/gtest.h>

#include <string>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace {

using btm_test::expect_error;

compat::HuggingFaceConfig parse(const std::string& text) {
  return compat::parse_hugging_face_config(text, "config.json");
}

TEST(HuggingFaceConfig, HasTheDefaultsOfTransformers) {
  const auto opt = parse(R"({"model_type":"opt"})"), gpt2 = parse(R"({"model_type":"gpt2"})"),
             xglm = parse(R"({"model_type":"xglm"})");
  EXPECT_EQ(opt.vocab, 50272);
  EXPECT_EQ(opt.width, 768);
  EXPECT_EQ(opt.embedding_width, 768);
  EXPECT_EQ(opt.ffn, 3072);
  EXPECT_EQ(opt.positions, 2048);
  EXPECT_EQ(opt.activation, "relu");
  EXPECT_TRUE(opt.pre_norm && opt.learned_positions && opt.tied && !opt.remove_final_norm &&
              !opt.scale_embedding);
  EXPECT_EQ(gpt2.vocab, 50257);
  EXPECT_EQ(gpt2.ffn, 4 * 768);
  EXPECT_EQ(gpt2.positions, 1024);
  EXPECT_EQ(gpt2.activation, "gelu_accurate");
  EXPECT_EQ(gpt2.layer_norm_epsilon, 1e-5);
  EXPECT_EQ(xglm.vocab, 256008);
  EXPECT_EQ(xglm.width, 1024);
  EXPECT_EQ(xglm.layers, 24);
  EXPECT_EQ(xglm.heads, 16);
  EXPECT_TRUE(xglm.scale_embedding && !xglm.learned_positions);
}

TEST(HuggingFaceConfig, HonoursWhatChangesTheNetwork) {
  EXPECT_EQ(parse(R"({"model_type":"gpt2","layer_norm_epsilon":0.001})").layer_norm_epsilon, 0.001);
  EXPECT_EQ(parse(R"({"model_type":"gpt2","n_inner":null,"n_embd":24})").ffn, 96);
  EXPECT_EQ(parse(R"({"model_type":"gpt2","n_inner":40})").ffn, 40);
  // transformers prefers the common name to the model's own, in any order.
  EXPECT_EQ(parse(R"({"model_type":"gpt2","hidden_size":36,"n_embd":24})").width, 36);
  EXPECT_EQ(parse(R"({"model_type":"opt","word_embed_proj_dim":512})").embedding_width, 512);
  EXPECT_TRUE(parse(R"({"model_type":"opt","_remove_final_layer_norm":true})").remove_final_norm);
  EXPECT_FALSE(parse(R"({"model_type":"opt","do_layer_norm_before":false})").pre_norm);
  EXPECT_FALSE(parse(R"({"model_type":"xglm","scale_embedding":false})").scale_embedding);
  EXPECT_FALSE(parse(R"({"model_type":"xglm","tie_word_embeddings":false})").tied);
  EXPECT_EQ(parse(R"({"model_type":"xglm","activation_function":"gelu_fast"})").activation,
            "gelu_accurate");
  // Keys for training, caching or other tasks, and keys that the architecture does not have.
  parse(R"({"model_type":"gpt2","resid_pdrop":0.3,"use_cache":false,"summary_type":"mean",)"
        R"("pad_token_id":7,"new_key":[1]})");
  parse(R"({"model_type":"xglm","pad_token_id":0,"pruned_heads":{},"quantization_config":null})");
}

TEST(HuggingFaceConfig, RefusesEveryOtherSettingByName) {
  struct Row {
    const char* text;
    const char* phrase;
  };
  for (const Row& row :
       {Row{R"({"model_type":"llama"})", "model_type 'llama' (supported: opt, gpt2, xglm)"},
        Row{R"({"model_type":"xglm","pad_token_id":5})", "not supported: pad_token_id 5"},
        Row{R"({"model_type":"opt","enable_bias":false,"layer_norm_elementwise_affine":false})",
            "not supported: enable_bias false, layer_norm_elementwise_affine false"},
        Row{R"({"model_type":"gpt2","scale_attn_weights":false})", "scale_attn_weights false"},
        Row{R"({"model_type":"gpt2","scale_attn_by_inverse_layer_idx":true})",
            "scale_attn_by_inverse_layer_idx true"},
        Row{R"({"model_type":"gpt2","add_cross_attention":true})", "add_cross_attention true"},
        Row{R"({"model_type":"gpt2","pruned_heads":{"0":[1]}})", "pruned_heads"},
        Row{R"({"model_type":"opt","quantization_config":{"load_in_8bit":true}})",
            "quantization_config"},
        Row{"{}", "has no model_type, expected opt, gpt2 or xglm"},
        Row{R"({"model_type":"gpt2","activation_function":"silu"})", "activation_function 'silu'"}})
    expect_error<compat::UnsupportedError>([&] { parse(row.text); }, row.phrase);
  for (const Row& row :
       {Row{"[]", "is not a JSON object"}, Row{"{", "is not JSON"},
        Row{R"({"model_type":3})", "is 3, expected a string"},
        Row{R"({"model_type":"gpt2","n_embd":"24"})", "n_embd]: is \"24\", expected a count"},
        Row{R"({"model_type":"gpt2","n_embd":null})", "n_embd]: is null, expected a count"},
        Row{R"({"model_type":"gpt2","n_layer":0})", "n_layer]: is 0, expected a count"},
        Row{R"({"model_type":"opt","hidden_size":-8})", "hidden_size]: is -8, expected a count"},
        Row{R"({"model_type":"opt","hidden_size":99999999999})",
            "hidden_size]: is 99999999999, expected a count"},
        Row{R"({"model_type":"opt","do_layer_norm_before":1})",
            "do_layer_norm_before]: is 1, expected true or false"},
        Row{R"({"model_type":"gpt2","layer_norm_epsilon":-1})",
            "layer_norm_epsilon]: is -1, expected a number from 0 to 1"},
        Row{R"({"model_type":"gpt2","layer_norm_epsilon":"NaN"})", "expected a number from 0 to 1"},
        Row{R"({"model_type":"gpt2","activation_function":null})",
            "activation_function]: is null, expected a string"},
        Row{R"({"model_type":"gpt2","n_embd":24,"n_head":5})",
            "has 5 attention heads for a width of 24, expected a number that divides it"}})
    expect_error<compat::FormatError>([&] { parse(row.text); }, row.phrase);
}

}  // namespace
