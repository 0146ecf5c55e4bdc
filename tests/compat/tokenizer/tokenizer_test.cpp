#include "compat/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/tokenizer/token_cache.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"
#include "tests/support/flag_table.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::golden;

TokenizerOptions given(const std::vector<std::string>& args) {
  TokenizerOptions options;
  btm_test::parsed({"p", "", {}, {tokenizer_flags(options)}, {}}, args);
  return options;
}

TEST(TokenizerFlags, HaveFairseqsNames) {
  EXPECT_EQ(given({}).bpe, "none");
  const TokenizerOptions all = given({"--bpe", "gpt2", "--gpt2-encoder-json", "e",
                                      "--gpt2-vocab-bpe", "v", "--sentencepiece-model", "m"});
  EXPECT_EQ(all.bpe, "gpt2");
  EXPECT_EQ(all.gpt2_encoder_json, "e");
  EXPECT_EQ(all.gpt2_vocab_bpe, "v");
  EXPECT_EQ(all.sentencepiece_model, "m");
  expect_error<UsageError>(
      [] {
        given({"--bpe", "gpt3"});
      },
      "'gpt3', expected one of none, gpt2, hf_byte_bpe, sentencepiece, fastbpe, bytes, characters");
  const TokenizerOptions more =
      given({"--bpe", "fastbpe", "--bpe-codes", "c", "--fastbpe-vocab", "v", "--bpe-vocab", "j",
             "--bpe-merges", "t", "--bpe-add-prefix-space", "--tokenizer", "space"});
  EXPECT_EQ(more.files(), (std::vector<std::string>{"c", "v"}));
  EXPECT_EQ(more.bpe_vocab + more.bpe_merges + more.tokenizer, "jtspace");
  EXPECT_TRUE(more.bpe_add_prefix_space);
  expect_error<UsageError>(
      [] {
        given({"--gpt2-encoder_json", "e"});
      },
      "did you mean --gpt2-encoder-json?");
}

TEST(LoadTokenizer, NeedsTheFilesOfItsKind) {
  EXPECT_EQ(load_tokenizer({}), nullptr);
  const std::string encoder = golden("gpt2/encoder.json"), merges = golden("gpt2/vocab.bpe");
  const std::string pieces = golden("corpus/spm.model");
  ASSERT_NE(load_tokenizer({"gpt2", encoder, merges, {}}), nullptr);
  ASSERT_NE(load_tokenizer({"sentencepiece", {}, {}, pieces}), nullptr);
  const std::vector<std::pair<TokenizerOptions, const char*>> rows{
      {{"gpt2", {}, {}, {}}, "--bpe gpt2 needs --gpt2-encoder-json and --gpt2-vocab-bpe"},
      {{"gpt2", encoder, {}, {}}, "--bpe gpt2 needs"},
      {{"gpt2", {}, merges, pieces}, "--bpe gpt2 needs"},
      {{"sentencepiece", encoder, merges, {}}, "--bpe sentencepiece needs --sentencepiece-model"},
  };
  for (const auto& [options, phrase] : rows)
    expect_error<UsageError>([&options = options] { load_tokenizer(options); }, phrase);
}

TEST(LoadTokenizer, RefusesFilesOfAnotherKind) {
  const std::string encoder = golden("gpt2/encoder.json"), merges = golden("gpt2/vocab.bpe");
  const std::string pieces = golden("corpus/spm.model");
  const std::vector<TokenizerOptions> rows{
      {"gpt2", merges, encoder, {}},     {"gpt2", pieces, merges, {}},
      {"gpt2", encoder, pieces, {}},     {"sentencepiece", {}, {}, encoder},
      {"sentencepiece", {}, {}, merges},
  };
  for (const TokenizerOptions& options : rows) {
    SCOPED_TRACE(options.bpe + " " + options.gpt2_encoder_json + options.sentencepiece_model);
    EXPECT_THROW(load_tokenizer(options), FormatError);
  }
  const btm_test::TempDir dir;
  expect_error<IoError>(
      [&] {
        load_tokenizer({"sentencepiece", {}, {}, (dir / "none").string()});
      },
      "none");
  expect_error<IoError>(
      [&] {
        load_tokenizer({"gpt2", encoder, dir.path().string(), {}});
      },
      dir.path().string());
}

TEST(Tokenizer, ClonesAgreeAndKeepTheirOwnCache) {
  for (const TokenizerOptions& options :
       {TokenizerOptions{"gpt2", golden("gpt2/encoder.json"), golden("gpt2/vocab.bpe"), {}},
        TokenizerOptions{"sentencepiece", {}, {}, golden("corpus/spm.model")}}) {
    const auto first = load_tokenizer(options);
    const auto second = first->clone();
    Tokens a, b, again;
    first->encode("the cat the cat", a);
    second->encode("the cat the cat", b);
    first->encode("the cat the cat", again);
    EXPECT_EQ(a.ids, b.ids);
    EXPECT_EQ(a.ids, again.ids);
    EXPECT_FALSE(a.ids.empty());
    EXPECT_EQ(second->size(), first->size());
    for (const std::int32_t id : a.ids) {
      EXPECT_GE(id, 0);
      EXPECT_LT(id, first->size());
    }
    Tokens none;
    first->encode("", none);
    EXPECT_TRUE(none.ids.empty());
  }
}

/// An encoder that counts its calls: a word becomes its length and its first byte.
struct Counting {
  int calls = 0;
  void operator()(std::string_view word, std::vector<std::int32_t>& out) {
    ++calls;
    out.push_back(static_cast<std::int32_t>(word.size()));
    if (!word.empty()) out.push_back(static_cast<unsigned char>(word[0]));
  }
};

TEST(TokenCache, EncodesAWordOnce) {
  TokenCache cache;
  Counting encode;
  std::vector<std::int32_t> out{-1};
  for (const char* const word : {"ab", "c", "ab", "", "", "ab"}) cache.append(word, out, encode);
  EXPECT_EQ(out, (std::vector<std::int32_t>{-1, 2, 'a', 1, 'c', 2, 'a', 0, 0, 2, 'a'}));
  EXPECT_EQ(encode.calls, 3);
}

TEST(TokenCache, KeepsNoLongWord) {
  TokenCache cache;
  Counting encode;
  std::vector<std::int32_t> out;
  for (int i = 0; i < 3; ++i) cache.append(std::string(64, 'x'), out, encode);
  EXPECT_EQ(encode.calls, 1);
  for (int i = 0; i < 3; ++i) cache.append(std::string(65, 'x'), out, encode);
  EXPECT_EQ(encode.calls, 4);
  EXPECT_EQ(out.size(), 12U);
}

TEST(TokenCache, ForgetsAllWhenItIsFull) {
  TokenCache cache;
  Counting encode;
  std::vector<std::int32_t> out;
  constexpr int kMost = 1 << 16;
  for (int i = 0; i < kMost; ++i) cache.append(std::to_string(i), out, encode);
  cache.append("0", out, encode);
  EXPECT_EQ(encode.calls, kMost);  // all are still known
  cache.append("new", out, encode);
  cache.append("0", out, encode);
  cache.append("new", out, encode);
  EXPECT_EQ(encode.calls, kMost + 2);
  const std::vector<std::int32_t> last(out.end() - 6, out.end());
  EXPECT_EQ(last, (std::vector<std::int32_t>{3, 'n', 1, '0', 3, 'n'}));
}

}  // namespace
}  // namespace compat
