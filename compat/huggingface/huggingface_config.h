// Reads config.json of Hugging Face's OPT, GPT-2 and XGLM in fairseq's terms. Table of keys:
// compat/huggingface/huggingface.md
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace compat {

/// The network that config.json describes. An absent key has its default in transformers 4.57.
struct HuggingFaceConfig {
  std::string model_type;  ///< opt, gpt2 or xglm
  std::int64_t vocab = 0, width = 0, ffn = 0, layers = 0, heads = 0, positions = 0;
  std::int64_t embedding_width = 0;  ///< OPT's word_embed_proj_dim; `width` for other models
  std::int64_t pad = 1;
  std::string activation;  ///< The activation's name in fairseq.
  double layer_norm_epsilon = 1e-5;
  bool pre_norm = true, remove_final_norm = false, learned_positions = true,
       scale_embedding = false, tied = true;
};

/// Reads config.json. Every key of the architecture's configuration class that changes the network
/// is either used or, when it differs from the default, refused. The UnsupportedError names all
/// refused keys, another model_type, or the lack of one. FormatError for a value of another type,
/// for sizes below 1, and for heads that do not divide the width. `file` is for messages.
HuggingFaceConfig parse_hugging_face_config(std::string_view text, const std::string& file);

}  // namespace compat
