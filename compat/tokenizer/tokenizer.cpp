#include "compat/tokenizer/tokenizer.h"

#include <algorithm>

#include "compat/base/error.h"
#include "compat/tokenizer/byte_characters.h"
#include "compat/tokenizer/fastbpe.h"
#include "compat/tokenizer/moses.h"

namespace compat {
namespace {

std::unique_ptr<Tokenizer> load_bpe(const TokenizerOptions& options) {
  if (options.bpe == "gpt2") {
    if (options.gpt2_encoder_json.empty() || options.gpt2_vocab_bpe.empty())
      throw UsageError("--bpe gpt2 needs --gpt2-encoder-json and --gpt2-vocab-bpe");
    return load_gpt2_bpe(options.gpt2_encoder_json, options.gpt2_vocab_bpe);
  }
  if (options.bpe == "hf_byte_bpe") {
    if (options.bpe_vocab.empty() || options.bpe_merges.empty())
      throw UsageError("--bpe hf_byte_bpe needs --bpe-vocab and --bpe-merges");
    auto tokenizer = load_gpt2_bpe(options.bpe_vocab, options.bpe_merges);
    return options.bpe_add_prefix_space ? with_prefix_space(std::move(tokenizer))
                                        : std::move(tokenizer);
  }
  if (options.bpe == "sentencepiece") {
    if (options.sentencepiece_model.empty())
      throw UsageError("--bpe sentencepiece needs --sentencepiece-model");
    return load_sentencepiece(options.sentencepiece_model);
  }
  if (options.bpe == "fastbpe") {
    if (options.bpe_codes.empty()) throw UsageError("--bpe fastbpe needs --bpe-codes");
    return load_fastbpe(options.bpe_codes, options.fastbpe_vocab);
  }
  if (options.bpe == "bytes") return byte_tokenizer();
  if (options.bpe == "characters") return character_tokenizer();
  return nullptr;
}

}  // namespace

void check_pretokenizer(const std::string& name) {
  if (name == "none" || name == "space" || name == "moses") return;
  if (name == "nltk")
    throw UsageError(
        "--tokenizer nltk is not reproduced here (it needs a trained Punkt model): tokenize the "
        "text with fairseq's own, then use --tokenizer space");
  throw UsageError("--tokenizer '" + printable(name) + "', expected none, space or moses");
}

std::vector<std::string> TokenizerOptions::files() const {
  std::vector<std::string> named;
  const auto add = [&](const char* kind, std::initializer_list<const std::string*> files) {
    if (bpe == kind)
      for (const std::string* file : files)
        if (!file->empty()) named.push_back(*file);
  };
  add("gpt2", {&gpt2_encoder_json, &gpt2_vocab_bpe});
  add("hf_byte_bpe", {&bpe_vocab, &bpe_merges});
  add("sentencepiece", {&sentencepiece_model});
  add("fastbpe", {&bpe_codes, &fastbpe_vocab});
  return named;
}

FlagGroup tokenizer_flags(TokenizerOptions& options) {
  std::vector<std::string> kinds{"none",    "gpt2",  "hf_byte_bpe", "sentencepiece",
                                 "fastbpe", "bytes", "characters"};
  std::string help = "none: the text is words or pieces between white space";
  if (options.bpe == kFoundTokenizer) {
    kinds.insert(kinds.begin(), kFoundTokenizer);
    help += "; auto: as the files say, else what fits beside the dictionary or the model";
  }
  return {"Tokenizer",
          {
              flag_choice("bpe", options.bpe, kinds, help),
              flag_text("gpt2-encoder-json", "FILE", options.gpt2_encoder_json,
                        "GPT-2's encoder.json (dict.txt then holds its ids as symbols)"),
              flag_text("gpt2-vocab-bpe", "FILE", options.gpt2_vocab_bpe, "GPT-2's vocab.bpe"),
              flag_text("sentencepiece-model", "FILE", options.sentencepiece_model,
                        "a sentencepiece model"),
              flag_text("bpe-codes", "FILE", options.bpe_codes, "fastbpe's codes"),
              flag_text("fastbpe-vocab", "FILE", options.fastbpe_vocab,
                        "fastbpe's vocabulary: symbols that it lacks are taken apart (fairseq has "
                        "none)"),
              flag_text("bpe-vocab", "FILE", options.bpe_vocab, "hf_byte_bpe's vocab.json"),
              flag_text("bpe-merges", "FILE", options.bpe_merges, "hf_byte_bpe's merges.txt"),
              flag_switch("bpe-add-prefix-space", options.bpe_add_prefix_space,
                          "hf_byte_bpe: a space before each text"),
              flag_text("tokenizer", "KIND", options.tokenizer,
                        "what comes before --bpe: none, space (a run of white space is one) or "
                        "moses (words and punctuation apart, as sacremoses)"),
              flag_text("moses-data", "FOLDER", options.moses_data,
                        "moses: the folder data of the Python package sacremoses"),
              flag_text("moses-source-lang", "LANG", options.moses_source_lang,
                        "moses: the language of the text that is encoded"),
              flag_text("moses-target-lang", "LANG", options.moses_target_lang,
                        "moses: the language of the text that is decoded"),
              flag_switch("moses-no-dash-splits", options.moses_no_dash_splits,
                          "moses: leave a-b as it is"),
              flag_switch("moses-no-escape", options.moses_no_escape,
                          "moses: do not write &apos; for ' and so on"),
          }};
}

std::unique_ptr<Tokenizer> load_tokenizer(const TokenizerOptions& options) {
  check_pretokenizer(options.tokenizer);
  auto tokenizer = load_bpe(options);
  if (options.tokenizer == "moses")
    return with_moses(tokenizer ? std::move(tokenizer) : word_tokenizer(), options);
  return tokenizer && options.tokenizer == "space" ? with_single_spaces(std::move(tokenizer))
                                                   : std::move(tokenizer);
}

}  // namespace compat
