#include "converters/logit_proof.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <random>
#include <vector>

#include "compat/base/error.h"
#include "compat/fairseq/dictionary.h"
#include "compat/fairseq/indexed_dataset_builder.h"
#include "compat/io/temporaries.h"

extern char** environ;

namespace converters {
namespace {

namespace fs = std::filesystem;

constexpr int kBlocks = 6;

/// A folder of its own for the random tokens.
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
      vocab);  // no words, so that it is no other dictionary than the model's
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

std::string read_all(int fd) {
  std::string text;
  char buffer[65536];
  for (;;) {
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

/// Standard output of a program; runtime_error with the last line of its standard error when it
/// fails.
std::string output_of(const std::vector<std::string>& command, const fs::path& errors) {
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) throw compat::IoError("pipe", "cannot create", errno);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t child = 0;
  const int error =
      ::posix_spawn(&child, command[0].c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(pipe_ends[1]);
  if (error != 0) {
    ::close(pipe_ends[0]);
    throw compat::IoError(command[0], "cannot run", error);
  }
  std::string output = read_all(pipe_ends[0]);
  ::close(pipe_ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return output;
  const int fd = ::open(errors.c_str(), O_RDONLY | O_CLOEXEC);
  std::string message = fd < 0 ? "" : read_all(fd);
  if (fd >= 0) ::close(fd);
  while (message.ends_with('\n')) message.pop_back();
  throw std::runtime_error("the logits could not be compared: " +
                           compat::printable(message.substr(message.rfind('\n') + 1), 1000));
}

/// The log-probabilities of lines "ID WORD [SCORE]\tWORD [SCORE]...".
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
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  const fs::path btm = self.parent_path() / "btm";
  return !error && fs::exists(btm) ? btm : fs::path();
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
    throw std::runtime_error("the logits could not be compared: btm scored " +
                             std::to_string(expected.size()) + " and " +
                             std::to_string(found.size()) + " tokens");
  LogitProof proof{static_cast<std::int64_t>(found.size()), 0};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(found[i] - expected[i]);
    proof.largest_difference = std::max(proof.largest_difference, difference);
    if (!(difference <= tolerance + 1e-6 * std::abs(expected[i])))
      throw compat::FormatError({copy.string(), {}, {}},
                                "a token's log-probability is " + std::to_string(found[i]) +
                                    ", that of the original is " + std::to_string(expected[i]));
  }
  return proof;
}

}  // namespace converters
