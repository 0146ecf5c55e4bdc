#include "converters/logit_proof.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <random>
#include <vector>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/fairseq/dictionary.h"
#include "compat/fairseq/indexed_dataset_builder.h"
#include "compat/io/mapped_file.h"
#include "compat/io/temporaries.h"
#include "compat/program/process.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

constexpr int kBlocks = 6;

/// A temporary folder for the random tokens.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (fs::temp_directory_path() / "btm-convert-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw compat::IoError(name, "cannot create", errno);
    path = name;
    note.emplace(path);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  fs::path path;
  std::optional<compat::TemporaryNote> note;
};

void write_random_tokens(const fs::path& folder, std::int64_t vocab, std::int64_t block) {
  compat::Dictionary dictionary;
  dictionary.pad_to_multiple(
      vocab);  // no words, so that it cannot differ from the model's dictionary
  dictionary.save(folder / "dict.txt");
  const auto builder =
      compat::IndexedDatasetBuilder::create(folder / "test", compat::DatasetImpl::kMmap, vocab);
  std::mt19937_64 random(1);
  std::vector<std::int64_t> ids(static_cast<std::size_t>(block));
  for (int i = 0; i < kBlocks; ++i) {
    for (auto& id : ids)
      id = 4 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(vocab - 4));
    builder->add(ids);
  }
  builder->finalize();
}

/// The standard output of a program. When the program fails: runtime_error with the last line of
/// its standard error.
std::string output_of(const std::vector<std::string>& command, const fs::path& errors) {
  const int fd = ::open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) throw compat::IoError(errors.string(), "cannot create", errno);
  const compat::Descriptor to_errors(fd);
  const compat::Captured captured = compat::capture({.argv = command, .errors = fd});
  if (captured.status == 0) return captured.output;
  const auto file = compat::MappedFile::open(errors);
  const std::string_view text = compat::strip_right(compat::as_chars(file->bytes()));
  throw std::runtime_error("the logits could not be compared: " +
                           compat::printable(text.substr(text.rfind('\n') + 1), 1000));
}

/// The log-probabilities in lines "ID WORD [SCORE]\tWORD [SCORE]...".
std::vector<double> scores_in(const std::string& output) {
  std::vector<double> scores;
  for (std::size_t at = output.find(" ["); at != std::string::npos;
       at = output.find(" [", at + 2)) {
    double value = 0;
    const auto [end, error] =
        std::from_chars(output.data() + at + 2, output.data() + output.size(), value);
    if (error == std::errc{} && end != output.data() + output.size() && *end == ']')
      scores.push_back(value);
  }
  return scores;
}

}  // namespace

fs::path btm_beside() {
  const fs::path btm = compat::own_program().parent_path() / "btm";
  return fs::exists(btm) ? btm : fs::path();
}

LogitProof prove_same_logits(const fs::path& btm, const fs::path& original, const fs::path& copy,
                             std::int64_t vocab, std::int64_t block, double tolerance) {
  const ScratchFolder scratch;
  write_random_tokens(scratch.path, vocab, block);
  const auto scores_of = [&](const fs::path& model) {
    return scores_in(
        output_of({btm.string(), "eval-lm", scratch.path.string(), "--path", model.string(),
                   "--gen-subset", "test", "--cpu", "--tokens-per-sample", std::to_string(block),
                   "--batch-size", "1", "--output-word-probs", "--quiet"},
                  scratch.path / "errors"));
  };
  const std::vector<double> expected = scores_of(original), found = scores_of(copy);
  if (expected.empty() || expected.size() != found.size())
    throw std::runtime_error(compat::concat("the logits could not be compared: btm scored ",
                                            expected.size(), " and ", found.size(), " tokens"));
  LogitProof proof{static_cast<std::int64_t>(found.size()), 0};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(found[i] - expected[i]);
    proof.largest_difference = std::max(proof.largest_difference, difference);
    if (!(difference <= tolerance + 1e-6 * std::abs(expected[i])))
      throw compat::FormatError(
          {copy.string(), {}, {}},
          compat::concat("a token's log-probability is ", compat::decimal(found[i], 6),
                         ", that of the original is ", compat::decimal(expected[i], 6)));
  }
  return proof;
}

}  // namespace converters
