#include "converters/preprocess.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/fairseq/indexed_dataset.h"
#include "tests/support/compress.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using btm_test::expect_error;
using btm_test::golden;
using btm_test::read_file;
using btm_test::TempDir;
using btm_test::write_file;

class Preprocess : public ::testing::Test {
 protected:
  std::string run() {
    std::ostringstream log;
    preprocess(options_, log);
    return log.str();
  }
  fs::path out(const std::string& name) const { return fs::path(options_.destdir) / name; }
  void expect_same(const fs::path& expected, const std::vector<std::string>& files) const {
    for (const std::string& file : files)
      EXPECT_TRUE(read_file(out(file)) == read_file(expected / file)) << file;
  }
  /// All files in the destination, including temporaries that were left behind.
  std::vector<std::string> listing() const {
    std::vector<std::string> names;
    if (fs::exists(options_.destdir))
      for (const auto& entry : fs::recursive_directory_iterator(options_.destdir))
        if (!entry.is_directory())
          names.push_back(fs::relative(entry.path(), options_.destdir).string());
    std::ranges::sort(names);
    return names;
  }
  void use_destination(const std::string& name) { options_.destdir = (folder_ / name).string(); }
  void use_sentencepiece() {
    options_.tokenizer.bpe = "sentencepiece";
    options_.tokenizer.sentencepiece_model = golden("corpus/spm.model").string();
  }
  void use_gpt2() {
    options_.tokenizer.bpe = "gpt2";
    options_.tokenizer.gpt2_encoder_json = golden("gpt2/encoder.json").string();
    options_.tokenizer.gpt2_vocab_bpe = golden("gpt2/vocab.bpe").string();
  }
  std::string file(const std::string& name, const std::string& text) {
    write_file(folder_ / name, text);
    return (folder_ / name).string();
  }
  std::vector<std::vector<std::int64_t>> sequences(const std::string& prefix) const {
    const auto dictionary = compat::Dictionary::load(out("dict.txt"));
    const auto dataset = compat::IndexedDataset::open(out(prefix), &dictionary);
    std::vector<std::vector<std::int64_t>> all;
    for (std::int64_t i = 0; i < dataset->size(); ++i) all.push_back(dataset->sequence(i));
    return all;
  }

  TempDir folder_;
  PreprocessOptions options_ = [this] {
    PreprocessOptions options;
    options.destdir = (folder_ / "out").string();
    return options;
  }();
};

const std::vector<std::string> kBothSplits{"dict.txt", "train.bin", "train.idx", "valid.bin",
                                           "valid.idx"};

TEST_F(Preprocess, WritesFairseqsBytesForAnyNumberOfWorkers) {
  options_.trainpref = golden("preprocess/train.txt").string();
  options_.validpref = golden("preprocess/valid.txt").string();
  for (const std::int64_t workers : {1, 2, 5}) {
    options_.workers = workers;
    use_destination("plain" + std::to_string(workers));
    run();
    expect_same(golden("preprocess/plain"), kBothSplits);
    use_destination("lazy" + std::to_string(workers));
    PreprocessOptions plain = options_;
    options_.dataset_impl = "lazy";
    run();
    expect_same(golden("preprocess/lazy"), kBothSplits);
    options_ = plain;
    use_destination("small" + std::to_string(workers));
    options_.thresholdsrc = 2;
    options_.nwordssrc = 101;
    options_.padding_factor = 16;
    run();
    expect_same(golden("preprocess/small"), kBothSplits);
    options_ = plain;
  }
}

TEST_F(Preprocess, WritesTheGoldenDataBinFromItsPieces) {
  options_.srcdict = golden("data-bin/dict.txt").string();
  options_.domains = "fortunes,jargon,perl,politics";
  options_.validpref = golden("corpus").string() + "/{domain}/valid.spm";
  options_.testpref = golden("corpus").string() + "/{domain}/test.spm";
  run();
  for (const std::string domain : {"fortunes", "jargon", "perl", "politics"})
    expect_same(golden("data-bin"),
                {domain + "/dict.txt", domain + "/valid_" + domain + ".bin",
                 domain + "/valid_" + domain + ".idx", domain + "/test_" + domain + ".bin",
                 domain + "/test_" + domain + ".idx"});
  expect_same(golden("data-bin"), {"dict.txt"});
}

TEST_F(Preprocess, WritesTheGoldenDataBinFromRawTextJsonlAndCompressedFiles) {
  use_sentencepiece();
  options_.srcdict = golden("data-bin/dict.txt").string();
  const std::string text = read_file(golden("corpus/perl/valid.txt"));
  std::string jsonl;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    jsonl += nlohmann::json{{"id", 1}, {"text", line}}.dump() + "\n";
  const std::vector<std::string> inputs{
      golden("corpus/perl/valid.txt").string(), file("v.jsonl", jsonl),
      file("v.jsonl.gz", btm_test::gzipped(jsonl)), file("v.zst", btm_test::zstd_compressed(text))};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    options_.validpref = inputs[i];
    use_destination("out" + std::to_string(i));
    run();
    for (const std::string end : {".bin", ".idx"})
      EXPECT_TRUE(read_file(out("valid" + end)) ==
                  read_file(golden("data-bin/perl/valid_perl" + end)))
          << inputs[i];
  }
}

TEST_F(Preprocess, CountsTokenisedTextAsTheTwoStepsOfFairseqDo) {
  // One step from raw text gives the same as two: writing the pieces, then preprocessing them as
  // words.
  use_sentencepiece();
  options_.trainpref = golden("corpus/perl/valid.txt").string();
  use_destination("one");
  run();
  options_.tokenizer = {};
  options_.trainpref = golden("corpus/perl/valid.spm").string();
  use_destination("two");
  run();
  expect_same(folder_ / "one", {"dict.txt", "train.bin", "train.idx"});
}

TEST_F(Preprocess, WritesGpt2sIdsAsSymbols) {
  use_gpt2();
  options_.trainpref = golden("gpt2/awkward.txt").string();
  options_.keep_empty = true;
  options_.workers = 3;
  use_destination("one");
  run();
  // fairseq's script strips lines before it encodes them.
  const auto tokenizer = compat::load_tokenizer(options_.tokenizer);
  std::string ids;
  std::istringstream lines(read_file(golden("gpt2/awkward.txt")));
  for (std::string line; std::getline(lines, line);) {
    compat::Tokens tokens;
    tokenizer->encode(compat::strip(line), tokens);
    for (const std::int32_t id : tokens.ids) ids += std::to_string(id) + " ";
    ids += "\n";
  }
  options_.tokenizer = {};
  options_.trainpref = file("ids", ids);
  use_destination("two");
  run();
  expect_same(folder_ / "one", {"dict.txt", "train.bin", "train.idx"});
}

TEST_F(Preprocess, PutsEndOfDocumentIntoDictionaryAndData) {
  use_gpt2();
  options_.trainpref = file("t", "Hello\n\nHello\n");
  options_.end_of_document = "<|endoftext|>";
  run();
  const auto dictionary = compat::Dictionary::load(out("dict.txt"));
  const std::int64_t end = dictionary.index("2256");
  EXPECT_EQ(dictionary.count(end), 2);
  for (const auto& sequence : sequences("train")) {
    ASSERT_GE(sequence.size(), 3U);
    EXPECT_EQ(sequence[sequence.size() - 2], end);
  }
  EXPECT_EQ(sequences("train").size(), 2U);
}

TEST_F(Preprocess, CopiesRawTextUnderFairseqsName) {
  options_.trainpref = golden("preprocess/train.txt").string();
  options_.dataset_impl = "raw";
  run();
  EXPECT_TRUE(read_file(out("train.None-None")) == read_file(golden("preprocess/train.txt")));
  use_sentencepiece();
  options_.trainpref = golden("corpus/perl/valid.txt").string();
  use_destination("pieces");
  run();
  EXPECT_TRUE(read_file(out("train.None-None")) == read_file(golden("corpus/perl/valid.spm")));
}

TEST_F(Preprocess, SplitsOneFileWithoutLosingOrRepeatingDocuments) {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "w" + std::to_string(i) + "\n";
  const std::string input = file("one.txt", text);
  options_.trainpref = folder_.path().string() + "/{domain}.txt";
  options_.domains = "one";
  options_.srcdict = file("d", [] {
    std::string dict;
    for (int i = 0; i < 2000; ++i) dict += "w" + std::to_string(i) + " 1\n";
    return dict;
  }());
  std::map<std::int64_t, int> seen;
  const auto count_all = [&] {
    seen.clear();
    for (const char* const prefix : {"one/train", "one/valid_one", "one/test_one"})
      for (const auto& sequence : sequences(prefix)) ++seen[sequence.front()];
    return seen.size();
  };
  run();
  EXPECT_EQ(count_all(), 2000U);
  for (const auto& [id, times] : seen) EXPECT_EQ(times, 1) << id;
  const auto first = sequences("one/valid_one");
  EXPECT_GT(first.size(), 5U);
  use_destination("again");
  options_.workers = 4;
  run();
  EXPECT_EQ(sequences("one/valid_one"), first);
  use_destination("other");
  options_.seed = 2;
  run();
  EXPECT_NE(sequences("one/valid_one"), first);
  EXPECT_EQ(count_all(), 2000U);
}

TEST_F(Preprocess, MakesTheDictionaryOfASplitFromItsTrainingPart) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "w" + std::to_string(i) + "\n";
  options_.trainpref = file("t", text);
  options_.valid_fraction = 0.2;
  options_.padding_factor = 1;
  run();
  EXPECT_EQ(compat::Dictionary::load(out("dict.txt")).size(),
            4 + static_cast<std::int64_t>(sequences("train").size()));
  for (const auto& sequence : sequences("valid")) EXPECT_EQ(sequence.front(), 3);  // <unk>
}

TEST_F(Preprocess, RefusesASplitThatLeavesNothing) {
  options_.trainpref = file("t", "a\n");
  options_.test_fraction = 0.001;
  expect_error<compat::UnsupportedError>([&] { run(); }, "leaves test without a document");
  EXPECT_TRUE(listing().empty());
}

TEST_F(Preprocess, SaysHowFewDocumentsAreShared) {
  options_.trainpref = file("t", "a b c d e f g h\nb c\nc d\n");
  options_.valid_fraction = options_.test_fraction = 0.01;
  const std::string log = run();
  EXPECT_NE(log.find("valid: warning: holds 14.3% of the text, expected 1.0%: whole documents do "
                     "not fit better"),
            std::string::npos)
      << log;
  EXPECT_NE(log.find("test: warning: one document is 100.0% of its text"), std::string::npos)
      << log;
  EXPECT_EQ(sequences("train").size(), 1U);
}

TEST_F(Preprocess, TakesAFileOfAFolderAsADocument) {
  fs::create_directories(folder_ / "books");
  file("books/one.txt", "a b\n\nc\r\n");
  file("books/two.txt", "b");
  file("books/three.jsonl", "{\"text\": \"c\"}\n{\"text\": \"d\"}\n");
  file("books/notes.pdf", "");
  options_.srcdict = file("d", "a 1\nb 1\nc 1\nd 1\n");
  options_.trainpref = (folder_ / "books").string();
  const std::string log = run();
  EXPECT_EQ(sequences("train"),
            (std::vector<std::vector<std::int64_t>>{{4, 5, 6, 2}, {6, 2}, {7, 2}, {5, 2}}));
  EXPECT_NE(log.find("train: 3 files (1 others skipped"), std::string::npos) << log;
  options_.format.document_break = "line";
  use_destination("lines");
  run();
  EXPECT_EQ(sequences("train").size(), 6U);  // including the empty line, as in fairseq
}

TEST_F(Preprocess, GoesOnAfterAFailureWithOtherInputs) {
  options_.trainpref = file("t", "a b\n");
  options_.validpref = file("v", "bad \xff byte\n");
  expect_error<compat::FormatError>([&] { run(); }, "not UTF-8");
  EXPECT_EQ(listing(),
            (std::vector<std::string>{"dict.txt", "preprocess.json", "train.bin", "train.idx"}));
  options_.trainpref = file("t2", "c d e\n");
  options_.domains = "law";
  options_.trainpref = file("law", "c d e\n");
  options_.trainpref = (folder_ / "{domain}").string();
  options_.validpref = options_.testpref = options_.trainpref;
  run();
  EXPECT_EQ(listing(),
            (std::vector<std::string>{
                "dict.txt", "law/dict.txt", "law/test_law.bin", "law/test_law.idx", "law/train.bin",
                "law/train.idx", "law/valid_law.bin", "law/valid_law.idx", "preprocess.json"}));
  // Finished files are not removed.
  file("law", "x y\n");
  expect_error<compat::IoError>([&] { run(); },
                                "is there already and was not made from these inputs");
  EXPECT_EQ(sequences("law/train").front().size(), 4U);
}

TEST_F(Preprocess, RefusesAnotherDictionaryBesideDataOfTheFirst) {
  options_.trainpref = file("t", "a b\n");
  run();
  options_.trainpref.clear();
  options_.validpref = file("v", "a\n");
  options_.srcdict = file("d", "b 1\na 1\n");
  expect_error<compat::IoError>([&] { run(); },
                                "is another dictionary, and train was made with it");
  options_.srcdict = out("dict.txt").string();
  run();
  EXPECT_EQ(sequences("valid").size(), 1U);
}

TEST_F(Preprocess, ClearsNothingOutsideTheDestination) {
  const std::string precious = file("precious.bin", "x");
  fs::create_directories(options_.destdir);
  write_file(out("dict.txt"), "z 1\n");
  write_file(out("notes.md"), "x");
  write_file(out("preprocess.json"),
             "{\"unfinished\": true, \"train\": {\"files\": {\"../precious.bin\": 1, \"" +
                 precious +
                 "\": 1, \"x/../../precious.bin\": 1, \"notes.md\": 1}}, \"valid\": 3, \"test\": "
                 "{\"files\": 4}}");
  options_.trainpref = file("t", "a b\n");
  run();
  EXPECT_TRUE(fs::exists(precious));
  EXPECT_TRUE(fs::exists(out("notes.md")));
}

TEST_F(Preprocess, KeepsWhatAnEarlierRunFinished) {
  options_.trainpref = file("t", "a b\n");
  options_.validpref = file("v", "a\n");
  const std::string first = run();
  EXPECT_EQ(first.find("kept"), std::string::npos) << first;
  const auto written = fs::last_write_time(out("train.bin"));
  const std::string second = run();
  EXPECT_NE(second.find("dictionary: kept"), std::string::npos) << second;
  EXPECT_NE(second.find("train: kept"), std::string::npos) << second;
  EXPECT_NE(second.find("valid: kept"), std::string::npos) << second;
  EXPECT_EQ(fs::last_write_time(out("train.bin")), written);
  // The state after a kill between the two splits.
  fs::remove(out("valid.idx"));
  const std::string third = run();
  EXPECT_NE(third.find("train: kept"), std::string::npos) << third;
  EXPECT_EQ(third.find("valid: kept"), std::string::npos) << third;
  EXPECT_TRUE(fs::exists(out("valid.idx")));
}

TEST_F(Preprocess, MakesAgainWhatWasDamaged) {
  options_.trainpref = file("t", "a b\n");
  options_.validpref = file("v", "a\n");
  run();
  const std::string whole = read_file(out("valid.bin"));
  std::string damaged = whole;
  damaged[0] ^= 1;
  write_file(out("valid.bin"), damaged);
  const std::string log = run();
  EXPECT_NE(log.find("train: kept"), std::string::npos) << log;
  EXPECT_EQ(log.find("valid: kept"), std::string::npos) << log;
  EXPECT_EQ(read_file(out("valid.bin")), whole);
}

TEST_F(Preprocess, SeesTextThatChangedUnderItsOldSizeAndTime) {
  options_.srcdict = file("d", "a 1\nb 1\n");
  options_.validpref = file("v", "a\n");
  run();
  const auto time = fs::last_write_time(options_.validpref);
  file("v", "b\n");
  fs::last_write_time(options_.validpref, time);
  options_.overwrite = true;
  run();
  EXPECT_EQ(sequences("valid"), (std::vector<std::vector<std::int64_t>>{{5, 2}}));
}

TEST_F(Preprocess, ReplacesWhatChangedOnlyWhenAsked) {
  options_.trainpref = file("t", "a b\n");
  options_.validpref = file("v", "a\n");
  run();
  file("v", "b b\n");
  expect_error<compat::IoError>([&] { run(); },
                                "valid.bin: is there already (--overwrite replaces it)");
  EXPECT_EQ(sequences("valid"), (std::vector<std::vector<std::int64_t>>{{4, 2}}));
  options_.overwrite = true;
  const std::string log = run();
  EXPECT_NE(log.find("train: kept"), std::string::npos) << log;
  EXPECT_EQ(log.find("valid: kept"), std::string::npos) << log;
  EXPECT_EQ(sequences("valid"), (std::vector<std::vector<std::int64_t>>{{5, 5, 2}}));
}

TEST_F(Preprocess, MakesAgainWhatAnotherLanguageOfMosesChanges) {
  options_.trainpref = file("t", "it's\n");
  options_.srcdict = file("d", "it 1\n");
  options_.tokenizer.tokenizer = "moses";
  options_.tokenizer.moses_data = golden("moses").string();
  run();
  EXPECT_NE(run().find("train: kept"), std::string::npos);
  options_.overwrite = true;
  for (const char* language : {"fr", "de"}) {
    options_.tokenizer.moses_source_lang = language;
    EXPECT_EQ(run().find("train: kept"), std::string::npos) << language;
  }
}

/// Found on 29 November 2026: other text with the dictionary of a finished folder replaced its
/// sets.
TEST_F(Preprocess, KeepsFinishedSetsBesideTheirDictionary) {
  options_.trainpref = file("t", "a b\n");
  run();
  const std::string train = read_file(out("train.bin")), dict = read_file(out("dict.txt"));
  options_.srcdict = out("dict.txt").string();
  options_.trainpref = file("t2", "b b b\n");
  expect_error<compat::IoError>([&] { run(); }, "train.bin: is there already (--overwrite");
  options_.srcdict = file("d", "b 1\na 1\n");
  expect_error<compat::IoError>([&] { run(); }, "train.bin: is there already (--overwrite");
  EXPECT_EQ(read_file(out("train.bin")), train);
  EXPECT_EQ(read_file(out("dict.txt")), dict);
  options_.validpref = options_.trainpref;  // a new set is no replacement
  options_.trainpref.clear();
  options_.srcdict = out("dict.txt").string();
  run();
  EXPECT_EQ(sequences("valid").front(), (std::vector<std::int64_t>{5, 5, 5, 2}));
}

/// Found on 30 November 2026: --dict-only put another dictionary beside the sets of a folder.
TEST_F(Preprocess, PutsNoDictionaryAloneBesideSetsOfAnother) {
  fs::create_directories(out("law"));
  for (const char* const set : {"valid.idx", "train.None-None", "law/test_law.idx"}) {
    write_file(out("dict.txt"), "a 1\nb 1\n");
    write_file(out(set), "fairseq's");
    options_.dict_only = true;
    for (const bool overwrite : {false, true}) {
      options_.overwrite = overwrite;
      options_.srcdict = file("d", "b 1\na 1\n");
      expect_error<compat::IoError>([&] { run(); }, "is another dictionary, and " +
                                                        fs::path(set).replace_extension().string() +
                                                        " was made with it");
      EXPECT_EQ(read_file(out("dict.txt")), "a 1\nb 1\n");
      options_.srcdict = out("dict.txt").string();
      run();
    }
    fs::remove(out(set));
  }
}

TEST_F(Preprocess, PutsNoDictionaryAloneBesideItsOwnSets) {
  options_.trainpref = file("t", "a b\n");
  run();
  const std::string dict = read_file(out("dict.txt"));
  options_.dict_only = true;
  options_.srcdict = file("d", "b 1\na 1\n");
  for (const bool overwrite : {false, true}) {
    options_.overwrite = overwrite;
    expect_error<compat::IoError>([&] { run(); },
                                  "is another dictionary, and train was made with it");
    EXPECT_EQ(read_file(out("dict.txt")), dict);
  }
}

/// A new dictionary replaces the old one when all sets of it are there.
TEST_F(Preprocess, KeepsTheOldFolderWhenReplacingFails) {
  options_.trainpref = file("t", "a b\n");
  options_.validpref = file("v", "a\n");
  run();
  const auto before = listing();
  const std::string dict = read_file(out("dict.txt")), train = read_file(out("train.bin"));
  options_.overwrite = true;
  options_.srcdict = file("d", "b 1\na 1\n");
  file("v", "bad \xff byte\n");
  expect_error<compat::FormatError>([&] { run(); }, "not UTF-8");
  EXPECT_EQ(listing(), before);
  EXPECT_EQ(read_file(out("dict.txt")), dict);
  EXPECT_EQ(read_file(out("train.bin")), train);
  file("v", "a\n");
  run();
  EXPECT_EQ(listing(), before);
  EXPECT_EQ(sequences("train"), (std::vector<std::vector<std::int64_t>>{{5, 4, 2}}));
  EXPECT_EQ(sequences("valid"), (std::vector<std::vector<std::int64_t>>{{5, 2}}));
  EXPECT_NE(run().find("valid: kept"), std::string::npos);
}

TEST_F(Preprocess, ReplacesNoDictionaryOfSetsThatStay) {
  options_.trainpref = file("t", "a b\n");
  options_.validpref = file("v", "a\n");
  run();
  fs::remove(out("preprocess.json"));  // as if fairseq had made it
  options_.validpref.clear();
  options_.trainpref = file("t2", "b b a\n");
  options_.overwrite = true;
  expect_error<compat::IoError>([&] { run(); },
                                "is another dictionary, and valid was made with it");
  options_.validpref = file("v", "a\n");
  options_.dataset_impl = "raw";  // would leave train.idx
  expect_error<compat::IoError>([&] { run(); },
                                "is another dictionary, and train was made with it");
  options_.dataset_impl = "mmap";
  run();
  EXPECT_EQ(sequences("valid"), (std::vector<std::vector<std::int64_t>>{{5, 2}}));
}

TEST_F(Preprocess, ReplacesNoSetsOfOthersAfterAFailure) {
  fs::create_directories(options_.destdir);
  write_file(out("dict.txt"), "a 1\n");
  write_file(out("valid.idx"), "fairseq's");
  options_.srcdict = out("dict.txt").string();
  options_.trainpref = file("t", "bad \xff byte\n");
  expect_error<compat::FormatError>([&] { run(); }, "not UTF-8");
  options_.trainpref.clear();
  options_.validpref = file("v", "a\n");
  expect_error<compat::IoError>([&] { run(); }, "valid.idx: is there already (--overwrite");
}

TEST_F(Preprocess, GoesOnWithoutItsDictionary) {
  options_.trainpref = file("t", "a b\n");
  run();
  const std::string dict = read_file(out("dict.txt"));
  fs::remove(out("dict.txt"));
  EXPECT_NE(run().find("train: kept"), std::string::npos);
  EXPECT_EQ(read_file(out("dict.txt")), dict);
  // Other counts of the same symbols are the same dictionary.
  options_.srcdict = file("d", "a 9\nb 8\n" + dict.substr(dict.find("madeup")));
  EXPECT_NE(run().find("train: kept"), std::string::npos);
  EXPECT_EQ(read_file(out("dict.txt")), dict);
}

TEST_F(Preprocess, ReplacesADictionaryWhenAsked) {
  options_.trainpref = file("t", "a b\n");
  fs::create_directories(options_.destdir);
  write_file(out("dict.txt"), "z 1\n");
  options_.overwrite = true;
  run();
  EXPECT_EQ(sequences("train").front().size(), 3U);
}

TEST_F(Preprocess, RefusesADictionaryThatItDidNotMake) {
  options_.trainpref = file("t", "a b\n");
  fs::create_directories(options_.destdir);
  write_file(out("dict.txt"), "z 1\n");
  expect_error<compat::IoError>([&] { run(); },
                                "dict.txt: is there already and was not made from these inputs");
  EXPECT_EQ(read_file(out("dict.txt")), "z 1\n");
  fs::remove(out("dict.txt"));
  run();
  write_file(out("dict.txt"), "b 1\na 1\n");  // edited since
  expect_error<compat::IoError>([&] { run(); }, "is there already");
}

TEST_F(Preprocess, EndsAfterTheDictionaryWhenAsked) {
  options_.trainpref = golden("preprocess/train.txt").string();
  options_.dict_only = true;
  run();
  expect_same(golden("preprocess/plain"), {"dict.txt"});
  EXPECT_EQ(listing(), (std::vector<std::string>{"dict.txt", "preprocess.json"}));
}

TEST_F(Preprocess, RefusesAFileWithoutDocuments) {
  options_.srcdict = golden("data-bin/dict.txt").string();
  const std::string full = file("full", "a\n");
  for (const std::string text : {"", "\n \n"}) {
    use_sentencepiece();
    options_.validpref = file("v", text);
    expect_error<compat::UnsupportedError>(
        [&] { run(); }, "v: no document for valid (an empty file, or blank lines only)");
    EXPECT_EQ(listing(), (std::vector<std::string>{"dict.txt", "preprocess.json"}));
  }
  options_.tokenizer = {};
  for (const std::string impl : {"mmap", "lazy", "raw"}) {
    options_.dataset_impl = impl;
    options_.validpref = file("v", "");
    expect_error<compat::UnsupportedError>([&] { run(); }, "v: no document for valid");
  }
  options_.dataset_impl = "mmap";
  options_.validpref.clear();
  options_.trainpref = file("v", "") + "," + full;  // only a completely empty input is refused
  run();
  EXPECT_EQ(sequences("train").size(), 1U);
  options_.srcdict.clear();
  options_.trainpref = file("v", "");
  use_destination("other");
  expect_error<compat::UnsupportedError>([&] { run(); }, "v: no document for train");
}

struct BadInput {
  std::string text, phrase;
};

TEST_F(Preprocess, LeavesNothingHalfWrittenOnBadInput) {
  std::string long_text;
  while (long_text.size() < 3'000'000) long_text += "many good lines before the bad one\n";
  const std::vector<BadInput> table{
      {long_text + "bad \xff byte\n", "not UTF-8"},
      {std::string(2'000'000, 'x') + "\n", "a document of more than 1 MiB"},
  };
  options_.srcdict = file("d", "a 1\n");
  options_.format.max_document_mib = 1;
  for (const BadInput& bad : table) {
    for (const std::int64_t workers : {1, 3}) {
      options_.workers = workers;
      options_.validpref = file("v", bad.text);
      expect_error<compat::FormatError>([&] { run(); }, bad.phrase);
      EXPECT_EQ(listing(), (std::vector<std::string>{"dict.txt", "preprocess.json"}));
    }
  }
}

TEST_F(Preprocess, RefusesWrongDictionariesAndTokenizers) {
  options_.validpref = file("v", "a\n");
  options_.srcdict = file("d", "no count\n");
  expect_error<compat::FormatError>([&] { run(); }, "expected '<token> <count> [flags]'");
  options_.srcdict = (folder_ / "nowhere").string();
  expect_error<compat::IoError>([&] { run(); }, "nowhere");
  options_.srcdict = file("d", "a 1\n");
  options_.tokenizer.bpe = "gpt2";
  expect_error<compat::UsageError>([&] { run(); }, "--bpe gpt2 needs --gpt2-encoder-json");
  options_.tokenizer.bpe = "sentencepiece";
  expect_error<compat::UsageError>([&] { run(); },
                                   "--bpe sentencepiece needs --sentencepiece-model");
  options_.tokenizer.sentencepiece_model = options_.srcdict;
  expect_error<compat::FormatError>([&] { run(); }, "not a sentencepiece model");
  EXPECT_TRUE(listing().empty());
}

TEST_F(Preprocess, GivesTheSameBytesForRandomTextAndAnyWorkers) {
  std::mt19937 random(9);
  std::string text;
  while (text.size() < 4'000'000) {
    for (std::size_t words = random() % 40; words > 0; --words)
      text += "w" + std::to_string(random() % 5000) + (random() % 9 == 0 ? "\t" : " ");
    text += '\n';
  }
  options_.trainpref = file("t", text);
  use_destination("one");
  run();
  for (const std::int64_t workers : {2, 5}) {
    options_.workers = workers;
    use_destination("w" + std::to_string(workers));
    run();
    expect_same(folder_ / "one", {"dict.txt", "train.bin", "train.idx"});
  }
}

}  // namespace
}  // namespace converters
