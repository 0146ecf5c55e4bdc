#include "btm/data/dictionary_doubts.h"

#include <cmath>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {

std::string doubt_by_loss(const std::string& model, double loss_base2,
                          const compat::Dictionary& dictionary,
                          const std::string& dictionary_file) {
  const double guessing = std::log2(static_cast<double>(dictionary.size()));
  if (!(loss_base2 > guessing)) return {};
  return compat::concat(
      "the loss of ", compat::printable(model, 4096), ", ", compat::decimal(loss_base2, 2),
      " bits per token, is above that of a uniform guess among ", dictionary.size(), " symbols, ",
      compat::decimal(guessing, 2), ": was it trained with the dictionary ",
      compat::printable(dictionary_file, 4096), "? It keeps no digest to compare");
}

std::string doubt_by_special_symbols(const compat::Dictionary& dictionary,
                                     const std::string& dictionary_file) {
  for (const std::int64_t id : {dictionary.bos(), dictionary.pad(), dictionary.eos()})
    if (const std::int64_t place = dictionary.index(dictionary.symbol(id)); place != id)
      return compat::concat(compat::printable(dictionary_file, 4096), ": has a line for ",
                            dictionary.symbol(id), ", so that text gets id ", place,
                            " for it, where fairseq's models have ", id,
                            ": is it the models' dictionary? They keep no digest to compare");
  return {};
}

}  // namespace btm
