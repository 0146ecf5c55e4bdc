#include "converters/staged_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

/// The path without a '/' at its end: with one, "beside the folder" would be inside it.
fs::path trimmed(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

}  // namespace

StagedFolder::StagedFolder(fs::path target, bool overwrite)
    : target_(trimmed(target)), staged_(compat::concat(target_.string(), ".tmp.", ::getpid())) {
  if (fs::exists(target_) && !fs::is_directory(target_))
    throw compat::IoError(target_.string(), "is no folder, expected a new folder");
  if (!overwrite && fs::exists(target_) && !fs::is_empty(target_))
    throw compat::IoError(target_.string(), "is there already (--overwrite replaces it)");
  note_.emplace(staged_);
  std::error_code error;
  fs::create_directories(staged_, error);
  if (error) throw compat::IoError(target_.string(), "cannot create", error.value());
}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(staged_, ignored);
}

void StagedFolder::replace() {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(target_))
    if (const fs::path name = entry.path().lexically_relative(target_);
        !entry.is_directory() && !fs::exists(staged_ / name))
      throw compat::IoError(
          target_.string(),
          "holds '" + name.string() +
              "', which the new folder does not (remove it, or name a new folder)");
  const compat::SignalsWait together;
  if (::renameat2(AT_FDCWD, staged_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) != 0)
    throw compat::IoError(target_.string(), "cannot replace", errno);
  fs::remove_all(staged_);  // the old folder, by now
}

void StagedFolder::commit() {
  std::error_code error;
  if (fs::exists(target_) && !fs::is_empty(target_))
    replace();
  else
    fs::rename(staged_, target_, error);
  if (error) throw compat::IoError(target_.string(), "cannot create", error.value());
  note_.reset();
  committed_ = true;
}

}  // namespace converters
