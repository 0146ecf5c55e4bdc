#include "btm/ensemble/matrix_cache.h"

#include <cstring>

#include "compat/atomic_file.h"
#include "compat/byte_reader.h"
#include "compat/error.h"
#include "compat/mapped_file.h"
#include "compat/sha256.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

// The file: kMagic, SHA-256 of what follows as 64 digits, a newline, little-endian floats.
constexpr std::string_view kMagic = "btm scores 1 ";
constexpr std::size_t kDigits = 64, kHeader = kMagic.size() + kDigits + 1;

std::string sha256_of(std::string_view text) { return compat::sha256_hex(compat::as_byte_span(text)); }

}  // namespace

MatrixCache::MatrixCache(fs::path folder) : folder_(std::move(folder)), digests_(folder_ / "digests.cache") {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) throw compat::IoError(folder_.string(), "create", error.value());
}

std::string MatrixCache::model_hash(const compat::Checkpoint& checkpoint, const EvalLmOptions& options) {
  std::string content = "model\n" + options.model_overrides + "\n";
  for (const std::string& file : checkpoint.files()) content += digests_.of(file) + "\n";
  return sha256_of(content);
}

std::string MatrixCache::data_hash(const EvalLmOptions& options, const fs::path& prefix, const fs::path& dictionary,
                                  std::int64_t max_positions) {
  std::string content = "data\n" + digests_.of(dictionary) + "\n";
  for (const char* ending : {"", ".bin", ".idx"})
    if (const fs::path file = prefix.string() + ending; fs::is_regular_file(file)) content += ending + (" " + digests_.of(file)) + "\n";
  content += options.task + " " + options.sample_break_mode + " " + options.dataset_impl + "\n";
  for (const std::int64_t value : {options.tokens_per_sample, options.context_window, options.batch_size, options.max_tokens, options.seed,
                                   options.num_shards, options.shard_id, options.max_samples, max_positions,
                                   std::int64_t{options.add_bos_token}, std::int64_t{options.resample_eval}, std::int64_t{options.fp16},
                                   std::int64_t{options.bf16}})
    content += std::to_string(value) + " ";
  return sha256_of(content);
}

fs::path MatrixCache::file_of(const std::string& model_hash, const std::string& data_hash) const {
  return folder_ / (sha256_of(model_hash + data_hash).substr(0, 40) + ".scores");
}

bool MatrixCache::contains(const std::string& model_hash, const std::string& data_hash) const {
  return fs::is_regular_file(file_of(model_hash, data_hash));
}

std::optional<std::vector<float>> MatrixCache::find(const std::string& model_hash, const std::string& data_hash) const {
  const fs::path path = file_of(model_hash, data_hash);
  if (!fs::is_regular_file(path)) return std::nullopt;
  const auto file = compat::MappedFile::open(path);
  const std::string_view text = compat::as_chars(file->bytes());
  if (text.size() < kHeader || !text.starts_with(kMagic) || (text.size() - kHeader) % sizeof(float) != 0) return std::nullopt;
  const std::span<const std::byte> values = file->bytes().subspan(kHeader);
  if (compat::sha256_hex(values) != text.substr(kMagic.size(), kDigits)) return std::nullopt;
  std::vector<float> scores(values.size() / sizeof(float));
  std::memcpy(scores.data(), values.data(), values.size());
  return scores;
}

void MatrixCache::put(const std::string& model_hash, const std::string& data_hash, std::span<const float> scores) const {
  const std::span<const std::byte> values = std::as_bytes(scores);
  compat::AtomicFile file(file_of(model_hash, data_hash));
  file.write(std::string(kMagic) + compat::sha256_hex(values) + "\n");
  file.write(values);
  file.commit();
}

}  // namespace btm
