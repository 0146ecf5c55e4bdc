#include "converters/hugging_face_tokenizer.h"

#include <gtest/gtest.h>

#include <sstream>

#include "compat/base/error.h"
#include "compat/tokenizer/document_encoder.h"
#include "compat/tokenizer/sentencepiece_model.h"
#include "converters/tokenizer_json.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace converters {
namespace {

using btm_test::expect_error;
using btm_test::golden;
using btm_test::read_file;
using btm_test::TempDir;
using btm_test::write_file;
using compat::Dictionary;

compat::TokenizerOptions sentencepiece() {
  return {.bpe = "sentencepiece", .sentencepiece_model = golden("corpus/spm.model").string()};
}
compat::TokenizerOptions gpt2() {
  return {.bpe = "gpt2",
          .gpt2_encoder_json = golden("gpt2/encoder.json").string(),
          .gpt2_vocab_bpe = golden("gpt2/vocab.bpe").string()};
}

/// The lines of the golden corpus that are all ASCII, and therefore in normal form.
std::vector<std::string> lines() {
  std::vector<std::string> lines;
  for (const char* const domain : {"fortunes", "perl", "politics"}) {
    std::istringstream text(read_file(golden("corpus") / domain / "test.txt"));
    for (std::string line; std::getline(text, line);) {
      while (line.ends_with(' ')) line.pop_back();
      const bool ascii = std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '~'; });
      if (ascii && !line.empty()) lines.push_back(line);
    }
  }
  return lines;
}

/// The number of tokens whose id is beyond the dictionary. All others must equal the data-bin's.
std::size_t compare(const Dictionary& dictionary, const compat::TokenizerOptions& options,
                    const TokenizerJson& written) {
  const auto tokenizer = compat::load_tokenizer(options);
  compat::DocumentEncoder encoder(dictionary, tokenizer.get(), "");
  std::size_t beyond = 0;
  for (const std::string& line : lines()) {
    std::vector<std::int64_t> expected, found = written.encode(line);
    encoder.encode(line, expected);
    expected.pop_back();
    for (std::int64_t& id : found) {
      beyond += id >= dictionary.size() ? 1 : 0;
      id = std::min(id, dictionary.size()) == dictionary.size() ? dictionary.unk() : id;
    }
    EXPECT_EQ(found, expected) << line;
  }
  return beyond;
}

TEST(HuggingFaceTokenizer, GivesTheDataBinsIdsWithADictionaryMadeFromTheData) {
  const TempDir folder;
  const auto dictionary = Dictionary::load(golden("data-bin/dict.txt"));
  const auto result =
      write_hugging_face_tokenizer(folder.path(), dictionary, "dict.txt", sentencepiece(), 128);
  EXPECT_GT(result.proven_texts, 3000);
  EXPECT_EQ(result.missing_tokens,
            1);  // U+2581 "charact": the data has it only in longer pieces
  const TokenizerJson written(read_file(folder / "tokenizer.json"), "tokenizer.json");
  EXPECT_EQ(compare(dictionary, sentencepiece(), written), 0U);
  // fairseq's ids, not the model's. Consecutive unknown characters are one symbol, or <unk>.
  EXPECT_EQ(written.encode("``"),
            (std::vector{dictionary.index("\u2581"), dictionary.index("``")}));
  EXPECT_EQ(written.encode("`"), (std::vector{dictionary.index("\u2581"), dictionary.index("`")}));
  EXPECT_EQ(written.encode("```"), (std::vector{dictionary.index("\u2581"), dictionary.unk()}));
  EXPECT_EQ(written.encode("``ing").back(), dictionary.index("ing"));
  EXPECT_EQ(written.encode("`</s>").size(), 1 + written.encode("`").size() + 2);
  // fairseq splits pieces at a next line, which sentencepiece takes for an unknown character.
  const std::int64_t space = dictionary.index("\u2581"), mark = dictionary.index("`");
  EXPECT_EQ(written.encode("`\u0085`"), (std::vector{space, mark, mark}));
  EXPECT_EQ(written.encode("ing\u0085ing").back(), dictionary.index("ing"));
  for (const std::string text : {"`\u0085`", "a\u0085", "\u0085a", "\u0085 a", "\u0085",
                                 "a \u0085 b", "ing\u0085\u0085ing", "``\u0085ing",

                                 "a\u0085ing `\u0085`"}) {
    const auto tokenizer = compat::load_tokenizer(sentencepiece());
    compat::DocumentEncoder encoder(dictionary, tokenizer.get(), "");
    std::vector<std::int64_t> expected;
    encoder.encode(text, expected);
    expected.pop_back();
    EXPECT_EQ(written.encode(text), expected) << compat::printable(text);
  }
}

TEST(HuggingFaceTokenizer, MapsGpt2sTokensToTheDictionarysIds) {
  const TempDir folder;
  const auto tokenizer = compat::load_tokenizer(gpt2());
  compat::SymbolCounter counter(tokenizer.get(), "");
  for (const std::string& line : lines()) counter.count(line);
  Dictionary dictionary;
  counter.add_to(dictionary);
  dictionary.finalize();
  const auto result =
      write_hugging_face_tokenizer(folder.path(), dictionary, "dict.txt", gpt2(), 128);
  EXPECT_GT(result.missing_tokens, result.extra_ids);
  EXPECT_GT(result.extra_ids, 0);
  const TokenizerJson written(read_file(folder / "tokenizer.json"), "tokenizer.json");
  EXPECT_EQ(compare(dictionary, gpt2(), written), 0U);
  EXPECT_EQ(written.encode("\x01").front(),
            dictionary.unk());  // a byte that the data does not have
  EXPECT_NE(read_file(folder / "tokenizer_config.json").find("PreTrainedTokenizerFast"),
            std::string::npos);
}

TEST(HuggingFaceTokenizer, RefusesFilesThatDoNotFitTheDictionary) {
  const TempDir folder;
  const auto write = [&](const Dictionary& dictionary, const compat::TokenizerOptions& options) {
    write_hugging_face_tokenizer(folder.path(), dictionary, "dict.txt", options, 128);
  };
  const auto pieces = Dictionary::load(golden("data-bin/dict.txt"));
  expect_error<compat::FormatError>([&] { write(pieces, gpt2()); },
                                    "dict.txt: its symbol ',' (id 4) is not the tokenizer's, "
                                    "expected an id of encoder.json");
  const auto numbers = Dictionary::parse("262 1\n11 1\n", "dict.txt");
  expect_error<compat::FormatError>([&] { write(numbers, sentencepiece()); },
                                    "its symbol '262' (id 4) is not the tokenizer's, expected a "
                                    "piece of the model, or characters it does not have");
  const auto words = Dictionary::parse("262 1\nword 1\n", "dict.txt");
  expect_error<compat::FormatError>([&] { write(words, gpt2()); }, "its symbol 'word' (id 5)");
  compat::TokenizerOptions other = sentencepiece();
  write_file(folder / "passwd", "root:x:0:0:root:/root:/bin/bash\n");
  other.sentencepiece_model = (folder / "passwd").string();
  expect_error<compat::FormatError>([&] { write(pieces, other); }, "not a sentencepiece model");
}

TEST(TokenizerJson, RefusesOtherFiles) {
  struct Row {
    const char* text;
    const char* phrase;
  };
  for (const Row& row :
       {Row{"[", "is not JSON, expected a tokenizer.json"},
        Row{"{}", "is not a tokenizer.json of BPE"},
        Row{R"({"model":{"type":"BPE","vocab":{"a":"b"}}})", "is not a tokenizer.json of BPE"},
        Row{R"({"model":{"type":"BPE","vocab":{"a":1},"merges":["a b"]}})",
            "out of vocabulary: a b"},
        Row{R"({"model":{"type":"Unigram","unk_id":0,"vocab":[["a",0],["a",1]]}})",
            "a token comes twice"},
        Row{R"({"model":{"type":"Unigram","unk_id":0,"vocab":[["a"]]}})",
            "is not a tokenizer.json"}})
    expect_error<compat::FormatError>([&] { TokenizerJson(row.text, "tokenizer.json"); },
                                      row.phrase);
}

TEST(SentencePieceModel, IsReadAsItsLibraryReadsIt) {
  const std::string bytes = read_file(golden("corpus/spm.model"));
  const auto model = compat::read_sentencepiece_model(bytes);
  ASSERT_TRUE(model.has_value());
  const auto tokenizer = compat::load_sentencepiece(golden("corpus/spm.model"));
  ASSERT_EQ(static_cast<std::int32_t>(model->pieces.size()), tokenizer->size());
  for (std::int32_t id = 0; id < tokenizer->size(); ++id)
    ASSERT_EQ(model->pieces[static_cast<std::size_t>(id)].text, tokenizer->symbol(id));
  EXPECT_EQ(model->algorithm, compat::SentencePieceModel::kBpe);
  EXPECT_EQ(model->pieces[5].score, -2);
  EXPECT_EQ(model->pieces[1].type, compat::SentencePieceModel::kControl);
  EXPECT_EQ(model->charsmap.size(), 237561U);
  EXPECT_FALSE(compat::read_sentencepiece_model(bytes.substr(0, 1000)).has_value());
  EXPECT_FALSE(compat::read_sentencepiece_model("").has_value());
}

}  // namespace
}  // namespace converters
