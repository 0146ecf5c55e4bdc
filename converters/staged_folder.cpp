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

/// The path without a '/' at its end: with one, "beside the folder" would be inside it. A link to a
/// folder stands for that folder, which is replaced in its place.
fs::path trimmed(const fs::path& path) {
  const fs::path folder = path.has_filename() ? path : path.parent_path();
  std::error_code error;
  return fs::is_symlink(folder, error) && fs::is_directory(folder, error) ? fs::canonical(folder)
                                                                          : folder;
}

/// Puts `staged` in the place of `target`, whose old files are `staged`'s afterwards or gone.
void exchange(const fs::path& staged, const fs::path& target) {
  if (::renameat2(AT_FDCWD, staged.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
    throw compat::IoError(target.string(), "cannot replace", errno);
  // Some network file systems cannot exchange two folders at once.
  const fs::path old = compat::concat(target.string(), ".old.", ::getpid());
  fs::rename(target, old);
  std::error_code error;
  fs::rename(staged, target, error);
  if (error) {
    fs::rename(old, target);
    throw compat::IoError(target.string(), "cannot replace", error.value());
  }
  fs::rename(old, staged);
}

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
  exchange(staged_, target_);
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
