#include "converters/commands.h"

#include <array>

#include "compat/program/completion.h"
#include "compat/program/manual.h"
#include "compat/program/programs.h"

namespace converters {

namespace {

std::span<const compat::Command> commands() {
  static constexpr std::array kCommands{
      compat::Command{"inspect", "show the content of a checkpoint, a data-bin or a dictionary",
                      run_inspect, inspect_spec},
      compat::Command{"preprocess", "convert raw or tokenized text to a dictionary and data-bins",
                      run_preprocess, preprocess_spec},
      compat::Command{"train-sentencepiece",
                      "train a sentencepiece model on text and write its dict.txt",
                      run_train_sentencepiece, train_sentencepiece_spec},
      compat::Command{"data-bin", "convert a data-bin: form, dictionary, selection, order, shards",
                      run_data_bin, data_bin_spec},
      compat::Command{"checkpoint",
                      "convert a checkpoint to another layout, precision or program's format",
                      run_checkpoint, checkpoint_spec},
      compat::Command{"verify",
                      "check data-bins and checkpoints: sizes, checksums, ids, finite weights",
                      run_verify, verify_spec},
      compat::Command{"repair", "rebuild a missing index, or fit a checkpoint to a dict.txt",
                      run_repair, repair_spec},
      compat::completion_command<program>(),
      compat::manual_command<program>(),
  };
  return kCommands;
}

}  // namespace

const compat::Program& program() {
  static const compat::Program kProgram{"btm-convert",
                                        "Inspects, checks and converts files of fairseq.",
                                        commands(),
                                        {"btm", compat::kBtmCommands}};
  return kProgram;
}

}  // namespace converters
