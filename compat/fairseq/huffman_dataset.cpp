#include "compat/fairseq/huffman_dataset.h"

#include <algorithm>
#include <string>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/huffman_code.h"
#include "compat/fairseq/indexed_dataset_layout.h"

namespace compat {
namespace {

class HuffmanDataset final : public IndexedDataset {
 public:
  HuffmanDataset(std::shared_ptr<const MappedFile> index, std::shared_ptr<const MappedFile> tokens,
                 const MappedFile& vocabulary, const Dictionary* dictionary)
      : index_(std::move(index)), tokens_(std::move(tokens)), code_(HuffmanCode::load(vocabulary)) {
    if (dictionary != nullptr) map_to(*dictionary, vocabulary.path());
    ByteReader in(index_->bytes(), {index_->path(), {}, 0});
    in.take(kHuffmanMagic.size(), "the magic");
    if (const auto version = in.read<std::uint64_t>("the version"); version != 1)
      in.fail(concat("version ", version, ", expected 1"));
    const auto data_size = in.read<std::uint64_t>("the data's size");
    if (data_size > tokens_->bytes().size())
      in.fail(concat("data of ", data_size, " bytes, but ", printable(tokens_->path(), 4096),
                     " has ", tokens_->bytes().size()));
    const auto count = in.read<std::uint64_t>("the number of sequences");
    if (count > in.remaining() / 12) in.fail(concat(count, " sequences do not fit the file"));
    for (std::uint64_t i = 0; i < count; ++i) sizes_.push_back(in.read<std::int32_t>("a size"));
    std::uint64_t start = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto end = in.read<std::uint64_t>("a pointer");
      const std::string name = concat("sequence ", i, ": ");
      if (end < start || end > data_size)
        in.fail(concat(name, "ends at byte ", end, ", expected ", start, " to ", data_size));
      // A code has at least one bit.
      if (sizes_[i] < 0 || static_cast<std::uint64_t>(sizes_[i]) > (end - start) * 8)
        in.fail(concat(name, sizes_[i], " tokens do not fit its ", end - start, " bytes"));
      ends_.push_back(end);
      start = end;
      total_tokens_ += sizes_[i];
    }
    if (!in.at_end()) in.fail(concat(in.remaining(), " bytes follow the pointers"));
  }

  DatasetImpl impl() const noexcept override { return DatasetImpl::kHuffman; }
  std::string_view dtype() const noexcept override { return "huffman"; }
  const std::string& path() const noexcept override { return tokens_->path(); }

  void read(std::int64_t i, std::int64_t from, std::span<std::int64_t> out) const override {
    const auto place = static_cast<std::size_t>(i);
    const std::uint64_t start = place == 0 ? 0 : ends_[place - 1];
    std::vector<std::int64_t> ids;
    if (!code_.decode(tokens_->bytes().subspan(start, ends_[place] - start), sizes_[place], ids))
      throw FormatError(
          {tokens_->path(), {}, start},
          concat("the bits of sequence ", i, " do not decode to its ", sizes_[place], " tokens"));
    std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(from), out.size(), out.begin());
    if (!ids_.empty())
      for (std::int64_t& id : out) id = ids_[static_cast<std::size_t>(id)];
  }

 private:
  void map_to(const Dictionary& dictionary, const std::string& file) {
    for (const HuffmanSymbol& symbol : code_.symbols()) {
      if (!dictionary.contains(symbol.text))
        throw FormatError({file, {}, {}},
                          "the symbol '" + printable(symbol.text) + "' is not in the dictionary");
      ids_.push_back(dictionary.index(symbol.text));
    }
  }

  std::shared_ptr<const MappedFile> index_, tokens_;
  HuffmanCode code_;
  std::vector<std::int64_t> ids_;  // by id of the vocabulary; empty: ids are not changed
  std::vector<std::uint64_t> ends_;
};

}  // namespace

std::unique_ptr<IndexedDataset> open_huffman_dataset(std::shared_ptr<const MappedFile> index,
                                                     std::shared_ptr<const MappedFile> tokens,
                                                     const MappedFile& vocabulary,
                                                     const Dictionary* dictionary) {
  return std::make_unique<HuffmanDataset>(std::move(index), std::move(tokens), vocabulary,
                                          dictionary);
}

}  // namespace compat
