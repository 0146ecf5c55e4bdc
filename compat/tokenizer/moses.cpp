#include "compat/tokenizer/moses.h"

#include <utility>

#include "compat/base/error.h"

namespace compat {
namespace {

class Moses final : public Tokenizer {
 public:
  struct Shared {
    std::string source, target;  ///< Languages.
    MosesTables source_tables, target_tables;
    MosesOptions options;
  };

  Moses(std::unique_ptr<Tokenizer> inner, std::shared_ptr<const Shared> shared)
      : inner_(std::move(inner)), shared_(std::move(shared)) {}

  std::unique_ptr<Tokenizer> clone() const override {
    return std::make_unique<Moses>(inner_->clone(), shared_);
  }
  void encode(std::string_view text, Tokens& out) override {
    inner_->encode(moses_tokenize(text, shared_->source_tables, shared_->source, shared_->options),
                   out);
  }
  std::int32_t size() const noexcept override { return inner_->size(); }
  std::int32_t unknown_id() const noexcept override { return inner_->unknown_id(); }
  std::string symbol(std::int32_t id) const override { return inner_->symbol(id); }
  std::string symbol_of_special(const std::string& name) const override {
    return inner_->symbol_of_special(name);
  }
  std::optional<bool> writes(std::string_view symbol) const override {
    return inner_->writes(symbol);
  }
  std::string decode(std::span<const std::string_view> symbols) const override {
    return moses_detokenize(inner_->decode(symbols), shared_->target_tables, shared_->target);
  }
  const Tokenizer& stepwise() const override { return *inner_; }

 private:
  std::unique_ptr<Tokenizer> inner_;
  std::shared_ptr<const Shared> shared_;
};

}  // namespace

std::unique_ptr<Tokenizer> with_moses(std::unique_ptr<Tokenizer> inner,
                                      const TokenizerOptions& options) {
  if (options.moses_data.empty())
    throw UsageError(
        "--tokenizer moses needs --moses-data, the folder data of the Python package sacremoses");
  auto shared = std::make_shared<Moses::Shared>();
  shared->source = options.moses_source_lang;
  shared->target = options.moses_target_lang;
  shared->source_tables = read_moses_tables(options.moses_data, shared->source);
  shared->target_tables = read_moses_tables(options.moses_data, shared->target);
  shared->options = {!options.moses_no_dash_splits, !options.moses_no_escape};
  return std::make_unique<Moses>(std::move(inner), std::move(shared));
}

}  // namespace compat
