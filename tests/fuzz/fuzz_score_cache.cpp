// Reads any bytes as a file of the score cache, as they are and with a correct checksum. The result
// is a warning, or scores that are stored as the same file.
#include <cstring>

#include "btm/ensemble/score_cache.h"
#include "compat/io/sha256.h"
#include "tests/support/files.h"
#include "tests/support/fuzz.h"

namespace {

void load(const std::string& bytes) {
  static const auto folder = btm_test::scratch_path("cache");
  const auto path = folder / "data" / "model.scores";
  std::filesystem::create_directories(path.parent_path());
  btm_test::write_file(path, bytes);
  std::uint64_t count = 0;  // the count that the file states
  if (bytes.size() >= 16) std::memcpy(&count, bytes.data() + 8, sizeof(count));
  int warnings = 0;
  btm::ScoreCache cache(folder, 1 << 20, [&](const std::string&) { ++warnings; });
  const auto scores = cache.load("data", "model", count);
  btm_test::require(warnings == (scores ? 0 : 1), "not a warning for a refusal alone");
  if (!scores) return;
  btm_test::require(scores->values().size() == count, "not as many scores as were asked for");
  btm_test::require(cache.store("data", "model", scores->values()), "scores are not kept");
  btm_test::require(btm_test::read_file(path) == bytes,
                    "scores are not stored as they were loaded");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(btm_test::as_text(data, size));
  load(bytes);
  load(bytes + compat::sha256_hex(compat::as_byte_span(bytes)));
  return 0;
}
