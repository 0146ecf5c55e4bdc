// btm-convert: inspects and converts files of fairseq and torch. Does not link LibTorch.
#include <array>

#include "compat/program/programs.h"
#include "converters/commands.h"

int main(int argc, char** argv) {
  constexpr std::array kCommands{
      compat::Command{"inspect", "show the content of a checkpoint, a data-bin or a dictionary",
                      converters::run_inspect},
      compat::Command{"preprocess", "convert raw or tokenized text to a dictionary and data-bins",
                      converters::run_preprocess},
      compat::Command{"train-sentencepiece",
                      "train a sentencepiece model on text and write its dict.txt",
                      converters::run_train_sentencepiece},
      compat::Command{"data-bin", "convert a data-bin: form, dictionary, selection, order, shards",
                      converters::run_data_bin},
      compat::Command{"checkpoint",
                      "convert a checkpoint to another layout, precision or program's format",
                      converters::run_checkpoint},
      compat::Command{"verify",
                      "check data-bins and checkpoints: sizes, checksums, ids, finite weights",
                      converters::run_verify},
      compat::Command{"repair", "rebuild a missing index, or fit a checkpoint to a dict.txt",
                      converters::run_repair},
  };
  return compat::run_program("btm-convert", "Inspects, checks and converts files of fairseq.",
                             kCommands, argc, argv, {"btm", compat::kBtmCommands});
}
