// Checkpoints of a few float vectors for tests.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compat/checkpoint/checkpoint.h"

namespace btm_test {

using TinyTensors = std::vector<std::pair<std::string, std::vector<float>>>;

/// A value of cfg.SECTION.KEY.
struct CfgEntry {
  std::string section, key, value;
};

inline void write_tiny_checkpoint(const std::filesystem::path& path, const TinyTensors& tensors,
                                  const std::vector<CfgEntry>& entries = {}) {
  compat::PickleArena arena;
  compat::PickleDict model, cfg;
  model.ordered = true;
  for (const auto& [name, values] : tensors) {
    auto storage =
        compat::Storage::copy_of(compat::DType::kFloat32, std::as_bytes(std::span(values)));
    const auto size = static_cast<std::int64_t>(values.size());
    model.items.emplace_back(arena.string(name), arena.tensor(compat::TensorView::contiguous(
                                                     std::move(storage), {size})));
  }
  for (const std::string section : {"model", "task"}) {
    compat::PickleDict keys;
    for (const CfgEntry& entry : entries)
      if (entry.section == section)
        keys.items.emplace_back(arena.string(entry.key), arena.string(entry.value));
    cfg.items.emplace_back(arena.string(section), arena.make(std::move(keys)));
  }
  compat::PickleDict root;
  root.items.emplace_back(arena.string("cfg"), arena.make(std::move(cfg)));
  root.items.emplace_back(arena.string("model"), arena.make(std::move(model)));
  compat::save_checkpoint(path, *arena.make(std::move(root)));
}

}  // namespace btm_test
