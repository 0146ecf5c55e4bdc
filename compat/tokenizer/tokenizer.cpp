#include "compat/tokenizer/tokenizer.h"

#include "compat/base/error.h"

namespace compat {

FlagGroup tokenizer_flags(TokenizerOptions& options) {
  std::vector<std::string> kinds{"none", "gpt2", "sentencepiece"};
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
          }};
}

std::unique_ptr<Tokenizer> load_tokenizer(const TokenizerOptions& options) {
  if (options.bpe == "gpt2") {
    if (options.gpt2_encoder_json.empty() || options.gpt2_vocab_bpe.empty())
      throw UsageError("--bpe gpt2 needs --gpt2-encoder-json and --gpt2-vocab-bpe");
    return load_gpt2_bpe(options.gpt2_encoder_json, options.gpt2_vocab_bpe);
  }
  if (options.bpe == "sentencepiece") {
    if (options.sentencepiece_model.empty())
      throw UsageError("--bpe sentencepiece needs --sentencepiece-model");
    return load_sentencepiece(options.sentencepiece_model);
  }
  return nullptr;
}

}  // namespace compat
