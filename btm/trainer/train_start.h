// What a training starts from: the weights of a checkpoint, and the checks on them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "btm/trainer/options.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/fairseq/dictionary.h"
#include "compat/fairseq/dictionary_digest.h"

namespace btm {

class Trainer;
class TransformerLM;

/// The dict.txt of DATA, with the domain tokens. IoError when DATA is no folder.
compat::Dictionary load_data_dictionary(const TrainOptions& options);

/// Loads the weights of the checkpoint that a run starts from. Returns nothing for a file that
/// holds only weights. FormatError when it was trained with another dictionary.
std::optional<compat::Checkpoint> open_start(const std::filesystem::path& path,
                                             TransformerLM& model,
                                             const compat::KnownDictionary& dictionary);

/// Checks early what train() will check: IoError and FormatError for a checkpoint whose tensors do
/// not fit the model and the dictionary of `options`. Reads no tensor but the version.
void check_start(const TrainOptions& options, const std::filesystem::path& checkpoint);

/// CRC-32 of the weights that all ranks share: all but those of DeMIX's experts.
std::uint32_t shared_weights_crc(Trainer& trainer);

}  // namespace btm
