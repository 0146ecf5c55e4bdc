#include "btm/branch/release_scripts.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 2> kFolders{"btm_shell_scripts", "btm_utils"};

void copy_scripts(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  for (const auto& entry : fs::directory_iterator(from))
    if (entry.is_regular_file()) fs::copy_file(entry.path(), to / entry.path().filename());
}

}  // namespace

fs::path release_scripts_of(const fs::path& program) {
  const fs::path folder = program.parent_path();
  // Of a checkout built in build/, of any build folder beside scripts/, of an installation.
  const std::array<fs::path, 3> places{folder / "../../scripts", folder / "../scripts",
                                       folder / "../share/btm"};
  std::string looked;
  for (const fs::path& place : places) {
    const fs::path plain = place.lexically_normal();
    if (std::ranges::all_of(kFolders,
                            [&](const char* name) { return fs::is_directory(plain / name); }))
      return plain;
    compat::append_item(looked, plain.string());
  }
  throw compat::IoError(program.string(),
                        "the release's scripts are not beside this program, looked in " + looked);
}

void copy_release_scripts(const fs::path& source, const fs::path& program, const fs::path& target) {
  std::error_code error;
  for (const fs::path name : {kFolders[0], kFolders[1], "btm"})
    if (fs::exists(fs::symlink_status(target / name, error)))
      throw compat::IoError((target / name).string(), "exists, expected a folder without it");
  const bool made = fs::create_directories(target, error);
  if (error) throw compat::IoError(target.string(), "cannot create", error.value());
  const fs::path staged = target / compat::concat(".btm-scripts.tmp.", ::getpid());
  try {
    for (const char* name : kFolders) copy_scripts(source / name, staged / name);
    fs::create_symlink(program, staged / "btm");
    for (const fs::path name : {kFolders[0], kFolders[1], "btm"})
      fs::rename(staged / name, target / name);
    fs::remove(staged);
  } catch (const fs::filesystem_error& problem) {
    fs::remove_all(staged, error);
    if (made) fs::remove(target, error);
    throw compat::IoError(target.string(), "cannot write", problem.code().value());
  }
}

}  // namespace btm
