#include "converters/staged_folder.h"

#include <unistd.h>

#include <system_error>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

/// The path without a '/' at its end: with one, "beside the folder" would be inside it.
fs::path trimmed(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

}  // namespace

StagedFolder::StagedFolder(fs::path target)
    : target_(trimmed(target)), staged_(compat::concat(target_.string(), ".tmp.", ::getpid())) {
  if (fs::exists(target_) && !(fs::is_directory(target_) && fs::is_empty(target_)))
    throw compat::IoError(target_.string(), "already exists, expected a new folder");
  note_.emplace(staged_);
  std::error_code error;
  fs::create_directories(staged_, error);
  if (error) throw compat::IoError(target_.string(), "cannot create", error.value());
}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(staged_, ignored);
}

void StagedFolder::commit() {
  std::error_code error;
  fs::rename(staged_, target_, error);
  if (error) throw compat::IoError(target_.string(), "cannot create", error.value());
  note_.reset();
  committed_ = true;
}

}  // namespace converters
