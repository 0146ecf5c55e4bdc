// btm-convert: looks into fairseq's and torch's files and converts them. Links no LibTorch.
#include <array>

#include "compat/program/programs.h"
#include "converters/commands.h"

int main(int argc, char** argv) {
  constexpr std::array kCommands{
      compat::Command{"inspect", "what is in a checkpoint, a shard, a data-bin or a dictionary",
                      converters::run_inspect},
      compat::Command{"preprocess",
                      "text to a dictionary and data-bins, tokenised or from raw text",
                      converters::run_preprocess},
      compat::Command{"train-sentencepiece", "a sentencepiece model from text, and its dict.txt",
                      converters::run_train_sentencepiece},
      compat::Command{
          "data-bin",
          "a data-bin in another form: joined, cut, shuffled, sharded, with another dictionary",
          converters::run_data_bin},
      compat::Command{"checkpoint",
                      "a checkpoint in another layout, precision or program's format, and back",
                      converters::run_checkpoint},
      compat::Command{
          "verify",
          "whether data-bins and checkpoints are whole: sizes, checksums, ids, finite weights",
          converters::run_verify},
      compat::Command{"repair", "an index for an orphaned .bin; a checkpoint fitted to a dict.txt",
                      converters::run_repair},
  };
  return compat::run_program("btm-convert", "Looks into fairseq's files and converts them.",
                             kCommands, argc, argv, {"btm", compat::kBtmCommands});
}
