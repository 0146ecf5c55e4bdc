// Reads any bytes as c-BTM's tfidf.pkl beside a good kmeans.pkl, and the other way round. A
// clusterer is refused, or it can be used.
#include "btm/cluster/cbtm_clusterer.h"
#include "compat/base/error.h"
#include "tests/support/files.h"
#include "tests/support/fuzz.h"

namespace {

using File = std::shared_ptr<const compat::MappedFile>;

void read(const File& tfidf, const File& kmeans) {
  try {
    const auto model = btm::ClusterModel::of_parts(btm::read_cbtm_clusterer(tfidf, kmeans));
    btm_test::require(model.distances("the cat sat").size() == model.clusters(),
                      "not a distance for each cluster");
    btm_test::require(model.nearest("ĚŠŲ 12") < model.clusters(), "the nearest cluster is none");
  } catch (const compat::FormatError&) {
  } catch (const compat::UnsupportedError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const File tfidf = compat::MappedFile::open(btm_test::golden("cbtm/1.6.1/tfidf.pkl"));
  static const File kmeans = compat::MappedFile::open(btm_test::golden("cbtm/1.6.1/kmeans.pkl"));
  const File input =
      compat::MappedFile::of_memory("fuzz.pkl", std::as_bytes(std::span(data, size)));
  read(input, kmeans);
  read(tfidf, input);
  return 0;
}
