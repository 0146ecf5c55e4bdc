#include "btm/merge/run_average.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstring>
#include <memory>
#include <regex>
#include <thread>
#include <type_traits>

#include "btm/merge/merge_inputs.h"
#include "btm/merge/tensor_stack.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/parallel.h"
#include "compat/torch/finite.h"
#include "compat/torch/half_float.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using compat::Checkpoint;
using compat::DType;
using compat::FormatError;
using compat::printable;
using compat::UsageError;

/// The value of a stored element in the type of the sum, and back.
template <class T>
struct Plain {
  using Stored = T;
  using Sum = T;
  static T load(T value) noexcept { return value; }
  static T round(T value) noexcept { return value; }
  static T store(T value) noexcept { return value; }
};
struct Half {  // becomes fp32 before the sum
  using Stored = std::uint16_t;
  using Sum = float;
  static float load(std::uint16_t bits) noexcept { return compat::float_of_half(bits); }
  static float round(float value) noexcept { return value; }
  static float store(float value) noexcept { return value; }
};
struct BFloat {  // rounded after every sum
  using Stored = std::uint16_t;
  using Sum = float;
  static float load(std::uint16_t bits) noexcept { return compat::float_of_bfloat16(bits); }
  static float round(float value) noexcept { return load(compat::bfloat16_of_float(value)); }
  static std::uint16_t store(float value) noexcept { return compat::bfloat16_of_float(value); }
};

/// Sums wrap around, as torch's do.
template <class T>
T sum_of(T a, T b) noexcept {
  if constexpr (std::integral<T>) {
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(
        static_cast<Unsigned>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b)));
  } else {
    return a + b;
  }
}

template <class T>
T quotient(T sum, std::int64_t models) noexcept {
  if constexpr (std::floating_point<T>) {
    return sum / static_cast<T>(models);
  } else {
    const auto wide = static_cast<std::int64_t>(sum);
    return static_cast<T>(wide / models - (wide % models < 0 ? 1 : 0));
  }
}

template <class Element>
void average_piece(const TensorStack& stack, std::size_t piece, std::vector<std::byte>& out) {
  using Sum = typename Element::Sum;
  using Stored = typename Element::Stored;
  using Result = decltype(Element::store(Sum{}));
  std::vector<Sum> sums;
  for (std::size_t model = 0; model < stack.models(); ++model) {
    const auto bytes = stack.raw(model, piece);
    const auto* const values = reinterpret_cast<const Stored*>(bytes.data());
    if (model == 0) sums.resize(bytes.size() / sizeof(Stored));
    for (std::size_t i = 0; i < sums.size(); ++i)
      sums[i] = model == 0 ? Element::load(values[i])
                           : Element::round(sum_of<Sum>(sums[i], Element::load(values[i])));
  }
  out.resize(sums.size() * sizeof(Result));
  auto* const results = reinterpret_cast<Result*>(out.data());
  for (std::size_t i = 0; i < sums.size(); ++i)
    results[i] = Element::store(quotient(sums[i], static_cast<std::int64_t>(stack.models())));
}

using Average = void (*)(const TensorStack&, std::size_t, std::vector<std::byte>&);

/// Null for types that torch does not divide in place by an integer.
Average average_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::kFloat64:
      return average_piece<Plain<double>>;
    case DType::kFloat32:
      return average_piece<Plain<float>>;
    case DType::kFloat16:
      return average_piece<Half>;
    case DType::kBFloat16:
      return average_piece<BFloat>;
    case DType::kInt64:
      return average_piece<Plain<std::int64_t>>;
    case DType::kInt32:
      return average_piece<Plain<std::int32_t>>;
    case DType::kInt16:
      return average_piece<Plain<std::int16_t>>;
    case DType::kInt8:
      return average_piece<Plain<std::int8_t>>;
    case DType::kUInt8:
      return average_piece<Plain<std::uint8_t>>;
    default:
      return nullptr;
  }
}

DType dtype_of_average(DType dtype) noexcept {
  return dtype == DType::kFloat16 ? DType::kFloat32 : dtype;
}

/// The average of one tensor, computed while it is written.
class AveragedTensor {
 public:
  AveragedTensor(TensorStack stack, DType dtype, const RunAverageOptions& options, int threads)
      : stack_(std::move(stack)),
        dtype_(dtype),
        average_(average_of(dtype)),
        options_(options),
        threads_(stack_.pieces() <= 1 ? 1 : static_cast<std::size_t>(threads)) {}

  void write(const compat::Storage::Sink& sink,
             const std::function<void(std::int64_t)>& written) const {
    std::size_t next = 0;
    compat::ordered_map<std::size_t, std::vector<std::byte>>(
        threads_, [&](std::size_t& piece) { return (piece = next++) < stack_.pieces(); },
        [&](std::size_t, std::size_t piece, std::vector<std::byte>& bytes) {
          average_(stack_, piece, bytes);
          refuse_diverged(piece, bytes);
          stack_.release(piece);
        },
        [&](const std::vector<std::byte>& bytes) {
          sink(bytes);
          written(static_cast<std::int64_t>(bytes.size() /
                                            compat::element_size(dtype_of_average(dtype_))));
        });
    stack_.release();
    stack_.check();
  }

 private:
  /// A sum is not finite where an input is not, so that the inputs need no look of their own.
  void refuse_diverged(std::size_t piece, std::span<const std::byte> bytes) const {
    if (compat::is_unset_buffer(stack_.name())) return;
    const DType result = dtype_of_average(dtype_);
    if (!compat::first_not_finite(bytes, result)) return;
    const auto first = static_cast<std::uint64_t>(piece) * kPieceElements;
    for (std::size_t i = 0; i < stack_.models(); ++i)
      compat::check_finite(stack_.raw(i, piece), dtype_, options_.inputs[i].string(), stack_.name(),
                           first);
    compat::check_finite(bytes, result, options_.output.string(), stack_.name(), first);
  }

  TensorStack stack_;
  DType dtype_;
  Average average_;
  const RunAverageOptions& options_;
  std::size_t threads_;
};

/// The tensor of this name in each input. FormatError for dtypes that cannot be summed.
std::vector<const compat::TensorView*> views_of(const std::string& name,
                                                std::span<const Checkpoint> models) {
  std::vector<const compat::TensorView*> views;
  for (const Checkpoint& model : models) {
    const compat::TensorView* const view = find_tensor(model, name);
    const DType expected = views.empty() ? view->dtype() : views.front()->dtype();
    const std::string tensor = "'" + printable(name) + "' is ";
    if (average_of(view->dtype()) == nullptr)
      throw FormatError(
          {model.path(), {}, {}},
          tensor + std::string(compat::dtype_name(view->dtype())) + ", which has no average");
    if (view->dtype() != expected)
      throw FormatError({model.path(), {}, {}},
                        compat::concat(tensor, compat::dtype_name(view->dtype()), ", expected ",
                                       compat::dtype_name(expected), " as in ",
                                       printable(models.front().path(), 4096)));
    views.push_back(view);
  }
  return views;
}

std::vector<std::string> names_in(const fs::path& folder) {
  if (!fs::is_directory(folder))
    throw compat::IoError(folder.string(), "is not a folder, expected that of a run");
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  return names;
}

/// The number in `text`, whole, if it is one.
template <class T>
std::optional<T> number_of(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// What stands after the last '_' in a file's name, without ".pt".
std::optional<double> score_in(const fs::path& file) {
  std::string name = file.filename().string();
  if (name.ends_with(".pt")) name.resize(name.size() - 3);
  const auto score = number_of<double>(std::string_view(name).substr(name.rfind('_') + 1));
  return score && std::isfinite(*score) ? score : std::nullopt;
}

}  // namespace

std::vector<fs::path> last_checkpoints(const fs::path& folder, std::int64_t count,
                                       RunCheckpoints kind,
                                       std::optional<std::int64_t> upper_bound) {
  const bool updates = kind == RunCheckpoints::kUpdates;
  const std::regex pattern(updates ? R"(checkpoint_\d+_(\d+)\.pt)" : R"(checkpoint(\d+)\.pt)");
  std::vector<std::pair<std::int64_t, std::string>> found;
  for (const std::string& name : names_in(folder)) {
    std::smatch match;
    if (!std::regex_match(name, match, pattern)) continue;
    const auto number = number_of<std::int64_t>(match[1].str());
    if (number && (!upper_bound || *number <= *upper_bound)) found.emplace_back(*number, name);
  }
  if (std::cmp_less(found.size(), count))
    throw UsageError(compat::concat(
        printable(folder.string(), 4096), " holds ", found.size(), " checkpoints of ",
        updates ? "updates (checkpoint_EPOCH_UPDATE.pt)" : "epochs (checkpointEPOCH.pt)",
        upper_bound ? compat::concat(" up to ", *upper_bound) : "", ", expected at least ", count));
  std::ranges::sort(found, std::ranges::greater{});
  std::vector<fs::path> files;
  for (auto& [number, name] : found) files.push_back(folder / name);
  files.resize(static_cast<std::size_t>(count));
  return files;
}

std::vector<fs::path> best_checkpoints(const std::vector<fs::path>& inputs, std::int64_t count) {
  std::vector<std::pair<double, fs::path>> scored;
  if (inputs.size() == 1 && fs::is_directory(inputs.front())) {
    std::vector<std::string> names = names_in(inputs.front());
    std::ranges::sort(names);
    for (const std::string& name : names)
      if (const auto score = score_in(name);
          score && name.starts_with("checkpoint.best_") && name.ends_with(".pt"))
        scored.emplace_back(*score, inputs.front() / name);
    if (scored.empty())
      throw UsageError(printable(inputs.front().string(), 4096) +
                       " holds no checkpoint.best_METRIC_X.pt (btm train --keep-best-checkpoints)");
  } else {
    for (const fs::path& file : inputs) {
      const auto score = score_in(file);
      if (!score)
        throw UsageError(printable(file.string(), 4096) +
                         ": its name ends in no number, expected one like "
                         "checkpoint.best_loss_3.21.pt");
      scored.emplace_back(*score, file);
    }
  }
  std::ranges::stable_sort(scored, {}, [](const auto& entry) { return entry.first; });
  if (std::cmp_greater(scored.size(), count)) scored.resize(static_cast<std::size_t>(count));
  std::vector<fs::path> files;
  for (auto& [score, file] : scored) files.push_back(std::move(file));
  return files;
}

MergeReport average_run(const RunAverageOptions& options, const MergeProgress& progress) {
  if (options.inputs.empty()) throw UsageError("no checkpoints to average");
  const std::vector<Checkpoint> models = open_models(options.inputs);
  refuse_input_as_output(options.output, models);
  check_alike(models);
  const Checkpoint& first = models.front();
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const int threads = options.num_threads > 0 ? options.num_threads : cores;

  MergeReport report;
  report.models = models.size();
  report.weights.assign(models.size(), 1.0 / static_cast<double>(models.size()));
  const std::vector<std::size_t> originals = first_of_tied(first.model());
  std::int64_t done = 0, total = 0;
  const auto written = [&](std::int64_t elements) {
    done += elements;
    if (progress) progress(done, total);
  };
  compat::NamedTensors averaged = first.model();
  std::vector<std::unique_ptr<AveragedTensor>> tensors;
  for (std::size_t i = 0; i < averaged.size(); ++i) {
    auto& [name, view] = averaged[i];
    if (originals[i] != i) {  // check_alike() found it tied in all inputs
      view = averaged[originals[i]].second;
      continue;
    }
    std::vector<const compat::TensorView*> views = views_of(name, models);
    for (const compat::TensorView* one : views) report.bytes_read += one->size_bytes();
    const DType dtype = view.dtype();
    total += view.numel();
    const AveragedTensor& tensor = *tensors.emplace_back(std::make_unique<AveragedTensor>(
        TensorStack(name, std::move(views)), dtype, options, threads));
    view = compat::TensorView::contiguous(
        compat::Storage::computed(dtype_of_average(dtype), static_cast<std::uint64_t>(view.numel()),
                                  [&tensor, &written](const compat::Storage::Sink& sink) {
                                    tensor.write(sink, written);
                                  }),
        view.shape);
  }
  compat::PickleArena arena;
  compat::save_checkpoint(
      options.output,
      *compat::with_history(arena, *compat::with_model(arena, first.root(), averaged)));
  report.tensors = tensors.size();
  report.bytes_written = fs::file_size(options.output);
  return report;
}

}  // namespace btm
