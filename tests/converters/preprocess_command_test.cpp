// btm-convert preprocess and train-sentencepiece as a user runs them.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "tests/support/files.h"
#include "tests/support/process.h"

namespace {

namespace fs = std::filesystem;
using btm_test::golden;
using btm_test::Process;
using btm_test::TempDir;
using btm_test::write_file;

struct Ended {
  int status;
  std::string out, err;
};

Ended run(const std::vector<std::string>& args) {
  Process process("btm-convert", args);
  const int status = process.wait();
  return {status, process.out(), process.err()};
}

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

TEST(PreprocessCommand, TakesFairseqsCommandLine) {
  const TempDir folder;
  const Ended ended =
      run({"preprocess", "--only-source", "--trainpref", golden("preprocess/train.txt").string(),
           "--validpref", golden("preprocess/valid.txt").string(), "--destdir",
           (folder / "out").string(), "--workers", "2", "--task", "language_modeling"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_EQ(ended.err, "btm-convert preprocess: warning: flags without effect here: --task\n");
  EXPECT_NE(ended.out.find("train: 406 sequences, 4624 tokens"), std::string::npos) << ended.out;
  EXPECT_TRUE(btm_test::read_file(folder / "out/train.bin") ==
              btm_test::read_file(golden("preprocess/plain/train.bin")));
}

TEST(PreprocessCommand, SaysInOneLineWhatIsWrong) {
  const TempDir folder;
  const std::string text = golden("preprocess/train.txt").string(), out = (folder / "out").string();
  const struct {
    std::vector<std::string> args;
    int status;
    std::string phrase;
  } table[] = {
      {{"--trainpref", text, "--destdri", out}, 2, "did you mean --destdir?"},
      {{"--trainpref", text, "--workers", "0", "--destdir", out}, 2, "expected at least 1"},
      {{"--trainpref", text, "--target-lang", "de", "--destdir", out}, 2, "target-lang"},
      {{"--trainpref", text, "--dataset-impl", "huffman", "--destdir", out},
       2,
       "expected one of mmap, cached, lazy, raw"},
      {{"--trainpref", text, "--valid-fraction", "1.5", "--destdir", out},
       2,
       "expected a number from 0 to 1"},
      {{"--trainpref", (folder / "no.txt").string(), "--destdir", out},
       1,
       "no.txt: cannot open: No such file"},
      {{"--destdir", out}, 2, "--trainpref is needed"},
      {{"--trainpref", text, "--destdir", "/proc/none/out"}, 1, "/proc/none"},
  };
  for (const auto& row : table) {
    std::vector<std::string> args{"preprocess"};
    args.insert(args.end(), row.args.begin(), row.args.end());
    const Ended ended = run(args);
    EXPECT_EQ(ended.status, row.status) << ended.err;
    EXPECT_EQ(lines(ended.err), 1U) << ended.err;
    EXPECT_NE(ended.err.find(row.phrase), std::string::npos) << ended.err;
    EXPECT_FALSE(fs::exists(out)) << row.phrase;
  }
}

/// Writes beyond a limit fail, as on a full disk.
TEST(PreprocessCommand, LeavesNothingWhenThereIsNoSpace) {
  const TempDir folder;
  std::string text;
  while (text.size() < 2'000'000) text += "a b a b a b a b\n";
  write_file(folder / "t", text);
  const fs::path program = fs::path(BTM_BIN_DIR) / "btm-convert";
  rlimit before{}, small{300'000, 300'000};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  small.rlim_max = before.rlim_max;
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Ended ended = run({"preprocess", "--trainpref", (folder / "t").string(), "--destdir",
                           (folder / "out").string()});
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, previous);
  EXPECT_EQ(ended.status, 1);
  EXPECT_EQ(lines(ended.err), 1U) << ended.err;
  EXPECT_NE(ended.err.find("train.bin: cannot write: File too large"), std::string::npos)
      << ended.err;
  for (const auto& entry : fs::directory_iterator(folder / "out"))
    EXPECT_TRUE(entry.path().filename() == "dict.txt" ||
                entry.path().filename() == "preprocess.json")
        << entry.path();
}

TEST(PreprocessCommand, RemovesItsTemporariesWhenInterrupted) {
  const TempDir folder;
  write_file(folder / "d", "a 1\n");
  std::string text;
  while (text.size() < 1'000'000)
    text += "the quick brown fox jumps over the lazy dog again and again\n";
  write_file(folder / "block", text);
  std::string inputs;
  for (int i = 0; i < 300; ++i) inputs += (i > 0 ? "," : "") + (folder / "block").string();
  Process process("btm-convert",
                  {"preprocess", "--trainpref", inputs, "--srcdict", (folder / "d").string(),
                   "--destdir", (folder / "out").string(), "--bpe", "sentencepiece",
                   "--sentencepiece-model", golden("corpus/spm.model").string()});
  process.wait_for_output("types");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  ::kill(process.pid(), SIGINT);
  EXPECT_EQ(process.wait(), 128 + SIGINT);
  for (const auto& entry : fs::directory_iterator(folder / "out"))
    EXPECT_TRUE(entry.path().filename() == "dict.txt" ||
                entry.path().filename() == "preprocess.json")
        << entry.path();
}

TEST(TrainSentencepieceCommand, TrainsAModelThatPreprocessReadsWithItsDictionary) {
  const TempDir folder;
  const std::string prefix = (folder / "m").string(),
                    text = golden("corpus/perl/valid.txt").string();
  const Ended trained =
      run({"train-sentencepiece", "--input", text + "," + golden("corpus/perl/test.txt").string(),
           "--model-prefix", prefix, "--vocab-size", "300", "--model-type", "bpe"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_NE(trained.out.find("m.model: 300 pieces"), std::string::npos) << trained.out;
  EXPECT_NE(trained.out.find("304 types"), std::string::npos)
      << trained.out;  // 297 pieces and 4 special symbols, padded to a multiple of 8
  EXPECT_EQ(lines(btm_test::read_file(prefix + ".vocab")), 300U);
  const Ended encoded = run({"preprocess", "--validpref", text, "--srcdict", prefix + ".dict.txt",
                             "--bpe", "sentencepiece", "--sentencepiece-model", prefix + ".model",
                             "--destdir", (folder / "out").string()});
  ASSERT_EQ(encoded.status, 0) << encoded.err;
  EXPECT_NE(encoded.out.find("dictionary: 304 types"), std::string::npos) << encoded.out;
  EXPECT_NE(encoded.out.find("valid: 101 sequences"), std::string::npos) << encoded.out;
}

TEST(TrainSentencepieceCommand, SaysHowMuchOfTheTextItSkipped) {
  const TempDir folder;
  const std::string text = btm_test::read_file(golden("corpus/perl/valid.txt")),
                    prefix = (folder / "m").string();
  std::string line = text;
  std::ranges::replace(line, '\n', ' ');
  write_file(folder / "t", text + line.substr(0, line.find_last_of(' ')) + "\n");
  const std::vector<std::string> args{"train-sentencepiece",
                                      "--input",
                                      (folder / "t").string(),
                                      "--model-prefix",
                                      prefix,
                                      "--vocab-size",
                                      "300",
                                      "--overwrite"};
  const Ended skipping = run(args);
  ASSERT_EQ(skipping.status, 0) << skipping.err;
  EXPECT_NE(skipping.err.find("warning: 1 of 102 lines, 50."), std::string::npos) << skipping.err;
  EXPECT_NE(
      skipping.err.find(
          "% of the text, are longer than 4192 bytes and were skipped; --max-sentence-length"),
      std::string::npos)
      << skipping.err;
  std::vector<std::string> longer = args;
  longer.insert(longer.end(), {"--max-sentence-length", "1000000"});
  EXPECT_EQ(run(longer).err, "");
  write_file(folder / "t", std::string(5000, 'x') + "\n");
  const Ended nothing = run(args);
  EXPECT_EQ(nothing.status, 1);
  EXPECT_NE(nothing.err.find("no text to train on"), std::string::npos) << nothing.err;
  EXPECT_NE(nothing.err.find("1 of 1 lines, 100.0% of the text"), std::string::npos) << nothing.err;
}

TEST(TrainSentencepieceCommand, SaysInOneLineWhatIsWrongAndWritesNothing) {
  const TempDir folder;
  const std::string prefix = (folder / "m").string(),
                    text = golden("corpus/perl/valid.txt").string();
  write_file(folder / "empty", "");
  write_file(folder / "latin1", "caf\xe9\n");
  const struct {
    std::vector<std::string> args;
    int status;
    std::string phrase;
  } table[] = {
      {{"--model-prefix", prefix}, 2, "--input and --model-prefix are needed"},
      {{"--input", text}, 2, "--input and --model-prefix are needed"},
      {{"--input", text, "--model-prefix", prefix, "--vocab-size", "1000000"},
       1,
       "Vocabulary size too high (1000000)"},
      {{"--input", text, "--model-prefix", prefix, "--vocab-size", "10"},
       1,
       "Vocabulary size is smaller than required_chars"},
      {{"--input", text, "--model-prefix", prefix, "--model-type", "magic"},
       2,
       "expected one of unigram, bpe, word, char"},
      {{"--input", (folder / "none").string(), "--model-prefix", prefix},
       1,
       "none: cannot open: No such file"},
      {{"--input", (folder / "none").string(), "--model-prefix", (folder / "no/m").string()},
       1,
       "no/m.dict.txt: cannot create"},  // before the input is read
      {{"--input", (folder / "empty").string(), "--model-prefix", prefix},
       1,
       "no text to train on"},
      {{"--input", (folder / "latin1").string(), "--model-prefix", prefix},
       1,
       "latin1+0x3: not UTF-8"},
      {{"--input", text, "--model-prefix", prefix, "--character-coverage", "x"},
       2,
       "expected a number from 0 to 1"},
      {{"--input", text, "--model-prefix", prefix, "--normalization-rule-name", "x"},
       1,
       "sentencepiece: "},
  };
  for (const auto& row : table) {
    std::vector<std::string> args{"train-sentencepiece"};
    args.insert(args.end(), row.args.begin(), row.args.end());
    const Ended ended = run(args);
    EXPECT_EQ(ended.status, row.status) << row.phrase << ": " << ended.err;
    EXPECT_EQ(lines(ended.err), 1U) << ended.err;
    EXPECT_NE(ended.err.find(row.phrase), std::string::npos) << ended.err;
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()),
            2);  // empty and latin1
}

}  // namespace
