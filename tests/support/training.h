// Runs btm train with the flags of the golden runs (tests/golden/README.md), and reads their logs
// and models.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <istream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "compat/checkpoint/checkpoint.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

namespace btm_test {

using Args = std::vector<std::string>;
using Rows = std::map<std::int64_t, nlohmann::json>;  ///< Rows by update.

/// The domains of tests/golden/data-bin, in the order of "ppl_0" to "ppl_3" in fairseq's logs.
inline const std::vector<std::string> kDomains{"fortunes", "jargon", "perl", "politics"};

inline Args joined(Args args, const Args& more) {
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

/// Whether this machine's GPU is to be tested: the preset cuda sets BTM_TEST_GPU in the
/// environment.
inline bool test_gpu() { return std::getenv("BTM_TEST_GPU") != nullptr; }

/// The command line of btm with the flags that all golden runs share. `data` is a folder of
/// tests/golden/data-bin, or "" for all of them. Runs on the CPU, unless test_gpu() is true.
inline Args train_command(const std::string& data, const std::filesystem::path& save_dir,
                          const Args& more) {
  Args args{"train",
            golden("data-bin/" + data).string(),
            "--lr",
            "2e-3",
            "--lr-scheduler",
            "polynomial_decay",
            "--optimizer",
            "adam",
            "--adam-betas",
            "(0.9, 0.95)",
            "--adam-eps",
            "10e-8",
            "--weight-decay",
            "0.1",
            "--clip-norm",
            "0.1",
            "--tokens-per-sample",
            "128",
            "--max-sentences",
            "2",
            "--sample-break-mode",
            "none",
            "--seed",
            "1",
            "--dropout",
            "0",
            "--log-format",
            "json",
            "--log-interval",
            "1",
            "--required-batch-size-multiple",
            "1",
            "--no-epoch-checkpoints",
            "--decoder-layers",
            "2",
            "--decoder-embed-dim",
            "64",
            "--decoder-attention-heads",
            "4",
            "--save-dir",
            save_dir.string()};
  if (!test_gpu()) args.push_back("--cpu");
  return joined(std::move(args), more);
}

/// The rows of a JSON log that describe an update.
inline Rows rows_of(std::istream& lines) {
  Rows rows;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t brace = line.find('{');
    if (brace == std::string::npos) continue;
    const auto row = nlohmann::json::parse(line.substr(brace));
    if (row.contains("num_updates") && row.contains("loss"))
      rows[std::stoll(row["num_updates"].get<std::string>())] = row;
  }
  return rows;
}

struct Finished {
  Rows rows;
  std::string out, err;
  int status = -1;
};

inline const std::map<std::string, std::string> kOneThread{
    {"OMP_NUM_THREADS", "1"}};  // the machine is shared with other tests

/// Runs btm until it ends, with these variables of the environment.
inline Finished run_btm(const Args& args,
                        const std::map<std::string, std::string>& environment = kOneThread) {
  Process process("btm", args, environment);
  Finished result;
  result.status = process.wait();
  result.out = process.out();
  result.err = process.err();
  std::istringstream lines(result.out);
  result.rows = rows_of(lines);
  return result;
}

inline double number(const nlohmann::json& row, const std::string& key) {
  return std::stod(row.at(key).get<std::string>());
}

inline bool any_tensor(const std::string&) { return true; }

/// The largest difference between tensors of two fp32 models, for the names that `wanted` accepts.
/// For other precisions only 0 has a meaning: equal bits.
template <class Wanted = bool (*)(const std::string&)>
double model_difference(const std::filesystem::path& a, const std::filesystem::path& b,
                        Wanted&& wanted = any_tensor) {
  const auto left = compat::Checkpoint::open(a), right = compat::Checkpoint::open(b);
  EXPECT_EQ(left.model().size(), right.model().size());
  double largest = 0;
  for (const auto& [name, view] : left.model()) {
    if (!wanted(name) || name.ends_with("_float_tensor"))
      continue;  // fairseq leaves these uninitialised
    const compat::TensorView* const other = right.find(name);
    if (other == nullptr) {
      ADD_FAILURE() << name << " is missing";
      continue;
    }
    std::vector<std::byte> scratch_a, scratch_b;
    const auto bytes_a = view.contiguous_bytes(scratch_a),
               bytes_b = other->contiguous_bytes(scratch_b);
    EXPECT_EQ(bytes_a.size(), bytes_b.size()) << name;
    for (std::size_t i = 0; i + sizeof(float) <= std::min(bytes_a.size(), bytes_b.size());
         i += sizeof(float)) {
      if (std::memcmp(bytes_a.data() + i, bytes_b.data() + i, sizeof(float)) == 0) continue;
      float x = 0, y = 0;
      std::memcpy(&x, bytes_a.data() + i, sizeof(float));
      std::memcpy(&y, bytes_b.data() + i, sizeof(float));
      const double difference = std::abs(static_cast<double>(x) - y);
      largest =
          difference > 0 ? std::max(largest, difference) : std::numeric_limits<double>::infinity();
    }
  }
  return largest;
}

}  // namespace btm_test
