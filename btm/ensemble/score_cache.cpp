#include "btm/ensemble/score_cache.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <set>

#include "btm/ensemble/cache_folder.h"
#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/atomic_file.h"
#include "compat/io/file_state.h"
#include "compat/io/mapped_file.h"
#include "compat/io/sha256.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using compat::as_byte_span;

constexpr std::string_view kMagic = "BTMSCOR2";
/// Part of every model's hash. It changes when this program computes other numbers from the same
/// files.
constexpr std::string_view kNumerics = "btm scores 2";
constexpr auto kStaleTemporary = std::chrono::hours(24);

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

void add_text(compat::Sha256& hash, std::string_view text) {
  hash.update(bytes_of(static_cast<std::uint64_t>(text.size())));
  hash.update(as_byte_span(text));
}

std::string hash_model(const compat::Checkpoint& checkpoint) {
  compat::Sha256 hash;
  add_text(hash, checkpoint.config().root().to_text());
  std::vector<const compat::NamedTensors::value_type*> tensors;
  for (const auto& tensor : checkpoint.model()) tensors.push_back(&tensor);
  std::ranges::sort(tensors, {}, [](const auto* tensor) { return tensor->first; });
  std::vector<std::byte> scratch;
  for (const auto* const tensor : tensors) {
    const compat::TensorView& view = tensor->second;
    add_text(hash, tensor->first);
    add_text(hash, compat::dtype_name(view.dtype()));
    for (const std::int64_t size : view.shape) hash.update(bytes_of(size));
    hash.update(view.contiguous_bytes(scratch));
    view.storage->release_pages();
  }
  return hash.hex();
}

/// The files from which the model's bytes are mapped, each once. Null stands for bytes that come
/// from elsewhere.
std::set<std::shared_ptr<const compat::MappedFile>> files_of(const compat::Checkpoint& checkpoint) {
  std::set<std::shared_ptr<const compat::MappedFile>> files;
  for (const auto& [name, view] : checkpoint.model()) files.insert(view.storage->mapped_file());
  return files;
}

enum class Change : std::uint8_t { kNone, kUnknown, kSome };

/// Whether a file has changed since it was opened, or another has its name now. Unknown where its
/// times cannot tell.
Change change_of(const compat::MappedFile* file) {
  if (file == nullptr) return Change::kUnknown;
  const auto now = compat::FileState::of(file->path());
  if (!now || now->to_text() != file->state().to_text()) return Change::kSome;
  return file->state().is_unchanged_until(*now) ? Change::kNone : Change::kUnknown;
}

/// The worst of all files.
Change change_of(const compat::Checkpoint& checkpoint) {
  Change worst = Change::kNone;
  for (const auto& file : files_of(checkpoint)) worst = std::max(worst, change_of(file.get()));
  return worst;
}

/// The key of a remembered hash: the files of the tensors, and everything else that is hashed.
std::string state_of(const compat::Checkpoint& checkpoint) {
  std::set<std::string> files;  // in an order that is the same in every run
  for (const auto& file : files_of(checkpoint))
    if (file) files.insert(fs::absolute(file->path()).string() + "\n" + file->state().to_text());
  std::string text(kNumerics);
  for (const std::string& file : files) text += "\n" + file;
  return text + "\n" + checkpoint.config().root().to_text();
}

/// The digest of a model's scores from that of the model.
std::string with_precision(const std::string& model, std::string_view precision) {
  return compat::sha256_hex(
      as_byte_span(std::string(kNumerics) + "\n" + model + "\n" + std::string(precision)));
}

/// Makes a file the most recently used one.
void touch(const fs::path& path) {
  std::error_code ignored;
  fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
}

}  // namespace

Scores::Scores(std::vector<float> values) {
  const auto owner = std::make_shared<const std::vector<float>>(std::move(values));
  values_ = *owner;
  owner_ = owner;
}

ScoreCache::ScoreCache(fs::path folder, std::uint64_t limit_bytes, Warn warn)
    : folder_(std::move(folder)), limit_(limit_bytes), warn_(std::move(warn)) {}

fs::path ScoreCache::scores_file(const std::string& data, const std::string& model) const {
  return folder_ / data / (model + ".scores");
}

bool ScoreCache::knows(const std::string& data) const {
  std::error_code ignored;
  return fs::is_directory(folder_ / data, ignored) && !fs::is_empty(folder_ / data, ignored);
}

std::optional<Scores> ScoreCache::load(const std::string& data, const std::string& model,
                                       std::size_t count) {
  const fs::path path = scores_file(data, model);
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  try {
    const auto file = compat::MappedFile::open(path);
    compat::ByteReader in(file->bytes(), {path.string(), {}, {}});
    if (compat::as_chars(in.take(kMagic.size(), "the signature")) != kMagic)
      in.fail("are no scores of btm");
    const auto stored = in.read<std::uint64_t>("the number of scores");
    if (stored != count) in.fail(compat::concat(stored, " scores, expected ", count));
    const std::span<const std::byte> values = in.take(count * sizeof(float), "the scores");
    const std::string_view checksum =
        compat::as_chars(in.take(compat::kSha256Digits, "the checksum"));
    if (!in.at_end() || compat::sha256_hex(file->bytes().first(file->bytes().size() -
                                                               compat::kSha256Digits)) != checksum)
      in.fail("the checksum is wrong");
    static_assert((kMagic.size() + sizeof(stored)) % alignof(float) == 0);
    touch(path);
    return Scores(file, {reinterpret_cast<const float*>(values.data()), count});
  } catch (const std::exception& error) {
    warn_(std::string("scores are computed again: ") + error.what());
    return std::nullopt;
  }
}

bool ScoreCache::store(const std::string& data, const std::string& model,
                       std::span<const float> scores) {
  if (scores.size_bytes() > limit_) {
    warn_(compat::concat("scores of ", scores.size_bytes() >> 20,
                         " MiB are not kept, the limit is ", limit_ >> 20, " MiB"));
    return false;
  }
  try {
    const fs::path path = scores_file(data, model);
    std::error_code problem;
    if (fs::create_directories(path.parent_path(), problem); problem)
      throw compat::IoError(path.parent_path().string(), "create", problem.value());
    compat::Sha256 hash;
    compat::AtomicFile file(path);
    const auto write = [&](std::span<const std::byte> bytes) {
      hash.update(bytes);
      file.write(bytes);
    };
    write(as_byte_span(kMagic));
    write(bytes_of(static_cast<std::uint64_t>(scores.size())));
    write(std::as_bytes(scores));
    file.write(hash.hex());
    file.commit();
    trim();
    return true;
  } catch (const std::exception& error) {
    warn_(std::string("scores are not kept: ") + error.what());
    return false;
  }
}

void ScoreCache::trim() {
  std::vector<CachedFile> kept;
  std::uint64_t total = 0;
  const auto now = fs::file_time_type::clock::now();
  for (CachedFile& file : cached_files(folder_)) {
    if (file.kind == CacheKind::kTemporary) {
      std::error_code gone;
      if (now - file.used > kStaleTemporary) fs::remove(file.path, gone);
    } else {
      total += file.bytes;
      kept.push_back(std::move(file));
    }
  }
  std::ranges::sort(kept, {}, &CachedFile::used);
  for (const CachedFile& file : kept) {
    if (total <= limit_) break;
    std::error_code ignored;
    fs::remove(file.path, ignored);
    total -= file.bytes;
  }
}

std::string ScoreCache::model_digest(const compat::Checkpoint& checkpoint,
                                     std::string_view precision) {
  const fs::path memory =
      folder_ / (compat::sha256_hex(as_byte_span(state_of(checkpoint))) + ".digest");
  std::string model;
  std::error_code ignored;
  if (change_of(checkpoint) == Change::kNone && fs::exists(memory, ignored)) {
    try {
      const auto file = compat::MappedFile::open(memory);
      model = compat::as_chars(file->bytes());
      touch(memory);
    } catch (const std::exception&) {  // removed by another run
    }
  }
  if (compat::is_sha256_hex(model)) return with_precision(model, precision);
  model = hash_model(checkpoint);
  try {
    if (change_of(checkpoint) == Change::kNone) {
      fs::create_directories(folder_);
      compat::write_file_atomically(memory, model);
    }
  } catch (const std::exception&) {  // store() says it
  }
  return with_precision(model, precision);
}

bool ScoreCache::is_still(const compat::Checkpoint& checkpoint, std::string_view precision,
                          const std::string& digest) const {
  const Change change = change_of(checkpoint);
  if (change == Change::kNone) return true;
  if (change == Change::kUnknown && with_precision(hash_model(checkpoint), precision) == digest)
    return true;
  warn_("scores are not kept: " + compat::printable(checkpoint.path(), 4096) +
        " was changed or replaced meanwhile");
  return false;
}

fs::path default_score_cache() {
  const auto folder = [](const char* name) {
    const char* const value = std::getenv(name);
    return fs::path(value == nullptr ? "" : value);
  };
  if (const fs::path cache = folder("XDG_CACHE_HOME"); cache.is_absolute())
    return cache / "btm" / "scores";
  if (const fs::path home = folder("HOME"); home.is_absolute())
    return home / ".cache" / "btm" / "scores";
  return {};
}

}  // namespace btm
