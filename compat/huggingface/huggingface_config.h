// config.json of Hugging Face's OPT, GPT-2 and XGLM, in fairseq's terms. Map:
// compat/huggingface/huggingface.md
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace compat {

/// What config.json says of the network. Where a key is absent its default in transformers 4.57
/// stands in.
struct HuggingFaceConfig {
  std::string model_type;  ///< opt, gpt2 or xglm
  std::int64_t vocab = 0, width = 0, ffn = 0, layers = 0, heads = 0, positions = 0;
  std::int64_t embedding_width = 0;  ///< OPT's word_embed_proj_dim; else `width`
  std::int64_t pad = 1;
  std::string activation;  ///< fairseq's name
  double layer_norm_epsilon = 1e-5;
  bool pre_norm = true, remove_final_norm = false, learned_positions = true,
       scale_embedding = false, tied = true;
};

/// Every key of the architecture's configuration class that changes the network is honoured or,
/// when it is not the default, refused. UnsupportedError names all of those, another model_type, or
/// the lack of one. FormatError for a value of another type, sizes below 1, and heads that do not
/// divide the width. `file` is for messages.
HuggingFaceConfig parse_hugging_face_config(std::string_view text, const std::string& file);

}  // namespace compat
