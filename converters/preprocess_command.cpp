// btm-convert preprocess: the command line of fairseq-preprocess, for language models.
#include <array>
#include <iostream>

#include "compat/program/command_line.h"
#include "converters/commands.h"
#include "converters/preprocess.h"

namespace converters {
namespace {

using compat::flag_choice;
using compat::flag_integer;
using compat::flag_real;
using compat::flag_switch;
using compat::flag_text;
using compat::ForeignFlag;

constexpr const char* kFractionDefault =
    "0.01 with --domains and no --validpref or --testpref, else 0";

/// Flags of fairseq-preprocess that have no effect for language models, and those for translation.
constexpr std::array kForeign{
    ForeignFlag{"aim-repo", true},
    ForeignFlag{"aim-run-hash", true},
    ForeignFlag{"align-suffix", true, true},
    ForeignFlag{"alignfile", true, true},
    ForeignFlag{"all-gather-list-size", true},
    ForeignFlag{"amp", false},
    ForeignFlag{"amp-batch-retries", true},
    ForeignFlag{"amp-init-scale", true},
    ForeignFlag{"amp-scale-window", true},
    ForeignFlag{"azureml-logging", false},
    ForeignFlag{"bf16", false},
    ForeignFlag{"cpu", false},
    ForeignFlag{"criterion", true},
    ForeignFlag{"empty-cache-freq", true},
    ForeignFlag{"fp16", false},
    ForeignFlag{"fp16-init-scale", true},
    ForeignFlag{"fp16-no-flatten-grads", false},
    ForeignFlag{"fp16-scale-tolerance", true},
    ForeignFlag{"fp16-scale-window", true},
    ForeignFlag{"joined-dictionary", false, true},
    ForeignFlag{"log-file", true},
    ForeignFlag{"log-format", true},
    ForeignFlag{"log-interval", true},
    ForeignFlag{"lr-scheduler", true},
    ForeignFlag{"memory-efficient-bf16", false},
    ForeignFlag{"memory-efficient-fp16", false},
    ForeignFlag{"min-loss-scale", true},
    ForeignFlag{"model-parallel-size", true},
    ForeignFlag{"no-progress-bar", false},
    ForeignFlag{"nwordstgt", true},
    ForeignFlag{"on-cpu-convert-precision", false},
    ForeignFlag{"optimizer", true},
    ForeignFlag{"plasma-path", true},
    ForeignFlag{"profile", false},
    ForeignFlag{"quantization-config-path", true},
    ForeignFlag{"reset-logging", false},
    ForeignFlag{"scoring", true},
    ForeignFlag{"source-lang,s", true, true},
    ForeignFlag{"suppress-crashes", false},
    ForeignFlag{"target-lang,t", true, true},
    ForeignFlag{"task", true},
    ForeignFlag{"tensorboard-logdir", true},
    ForeignFlag{"tgtdict", true, true},
    ForeignFlag{"threshold-loss-scale", true},
    ForeignFlag{"thresholdtgt", true},
    ForeignFlag{"tpu", false},
    ForeignFlag{"use-plasma-view", false},
    ForeignFlag{"user-dir", true},
    ForeignFlag{"wandb-project", true},
};

compat::CommandSpec spec_of(PreprocessOptions& o, bool& only_source) {
  compat::FlagGroup files{
      "Files (fairseq's names)",
      {
          flag_text("trainpref", "FILE[,FILE...]", o.trainpref,
                    "training text, from which the dictionary is made; several files are "
                    "concatenated. A FILE may be a pattern such as 'books/*.txt', or a folder, in "
                    "which each .txt file and each line of a .jsonl file is a document"),
          flag_text("validpref", "FILE[,FILE...]", o.validpref,
                    "validation text, written as valid, valid1, ..."),
          flag_text("testpref", "FILE[,FILE...]", o.testpref,
                    "test text, written as test, test1, ..."),
          flag_text("destdir", "FOLDER", o.destdir, "folder for dict.txt and the data-bins"),
          flag_choice("dataset-impl", o.dataset_impl, {"mmap", "cached", "lazy", "raw"},
                      "layout of the data-bins"),
          compat::flag_overwrite(o.overwrite),
          flag_switch("only-source", only_source, "no effect: there is only one side here"),
          flag_integer("workers", "N", o.workers,
                       "number of threads; the output does not depend on it", 1),
      }};
  compat::FlagGroup dictionary{
      "Dictionary (fairseq's names)",
      {
          flag_text("srcdict", "FILE", o.srcdict, "use this dict.txt"),
          flag_integer("thresholdsrc", "N", o.thresholdsrc,
                       "drop words that occur fewer than N times"),
          flag_integer("nwordssrc", "N", o.nwordssrc,
                       "keep N words, including special symbols; -1: all"),
          padding_factor_flag(o.padding_factor),
          flag_switch("dict-only", o.dict_only, "write only the dictionary"),
      }};
  compat::FlagGroup input = document_flags(o.format);
  input.flags.push_back(flag_switch(
      "keep-empty", o.keep_empty,
      "with --bpe: keep empty documents (without --bpe they are always kept, as in fairseq)"));
  input.flags.push_back(flag_text("end-of-document", "SYMBOL", o.end_of_document,
                                  "append this symbol to every document, before </s>"));
  compat::FlagGroup domains{
      "Domains",
      {
          flag_text("domains", "NAME[,NAME...]", o.domains,
                    "write DESTDIR/NAME/{train,valid_NAME,test_NAME} and one dictionary; NAME "
                    "replaces {domain} in the prefixes"),
          flag_real("valid-fraction", "F", o.valid_fraction,
                    "share of --trainpref's text for valid, in whole documents chosen at random", 0,
                    1, kFractionDefault),
          flag_real("test-fraction", "F", o.test_fraction, "share for test", 0, 1,
                    kFractionDefault),
          flag_integer("seed", "N", o.seed, "seed of the random choice"),
      }};
  return {"btm-convert preprocess",
          "Converts text to a dict.txt and data-bins, with the same bytes as fairseq-preprocess "
          "for language models. With --bpe it also does the tokenization before that. It then "
          "strips white space at both ends of a document and drops empty documents, as fairseq's "
          "scripts do. Sets that an earlier run finished from the same inputs are kept; those of "
          "other inputs are replaced with --overwrite only.",
          {},
          {files, dictionary, compat::tokenizer_flags(o.tokenizer), input, domains},
          kForeign};
}

struct PreprocessCommand {
  PreprocessOptions options;
  bool only_source = true;
  compat::CommandSpec spec() { return spec_of(options, only_source); }
};

}  // namespace

compat::CommandSpec preprocess_spec() { return compat::spec_owning<PreprocessCommand>(); }

int run_preprocess(std::span<const std::string> args) {
  PreprocessCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  if (!ignored.empty()) {
    std::cerr << "btm-convert preprocess: warning: flags without effect here:";
    for (const std::string& flag : ignored) std::cerr << " " << flag;
    std::cerr << std::endl;
  }
  preprocess(command.options, std::cout);
  return 0;
}

}  // namespace converters
