// Reads any bytes as a cluster model, as they are and with a correct checksum. The model is
// refused, or it saves to the same file and can be used.
#include <cmath>

#include "btm/cluster/cluster_model.h"
#include "compat/io/sha256.h"
#include "tests/support/files.h"
#include "tests/support/fuzz.h"

namespace {

void load(const std::string& bytes) {
  static const auto path = btm_test::scratch_path("model"), saved = btm_test::scratch_path("saved");
  btm_test::write_file(path, bytes);
  try {
    const btm::ClusterModel model = btm::ClusterModel::load(path);
    model.save(saved);
    const std::string first = btm_test::read_file(saved);
    btm::ClusterModel::load(saved).save(saved);
    btm_test::require(btm_test::read_file(saved) == first, "a model is not saved as it was loaded");
    const auto distances = model.distances("the cat sat on the mat");
    btm_test::require(distances.size() == model.clusters(), "not a distance for each cluster");
    btm_test::require(model.nearest("the cat") < model.clusters(), "the nearest cluster is none");
    for (std::size_t j = 0; j < model.clusters(); ++j)
      btm_test::require(model.top_terms(j, 3).size() <= 3, "too many terms");
  } catch (const compat::FormatError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(btm_test::as_text(data, size));
  load(bytes);
  load(bytes + compat::sha256_hex(compat::as_byte_span(bytes)));
  return 0;
}
