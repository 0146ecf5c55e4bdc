#include "compat/checkpoint/named_models.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/checkpoint/forest.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

using btm_test::expect_error;
using btm_test::golden;
using btm_test::write_file;
using compat::ModelKind;
using compat::NamedModel;
using compat::resolve_model;
namespace fs = std::filesystem;

void quiet(const std::string&) {}

constexpr const char* kEmptySafetensors = "\x02\0\0\0\0\0\0\0{}";

/// A file that is there, in folders made for it. What it holds is not read here.
fs::path make_file(const fs::path& path, std::string_view content = "x") {
  fs::create_directories(path.parent_path());
  write_file(path, content);
  return path;
}

std::string safetensors() { return {kEmptySafetensors, 10}; }

/// "name=path" of each.
std::vector<std::string> told(const std::vector<NamedModel>& models) {
  std::vector<std::string> words;
  for (const NamedModel& model : models) words.push_back(model.name + "=" + model.path.string());
  return words;
}

std::vector<std::string> of_list(const std::string& list, std::string_view separators = ":") {
  return told(compat::resolve_models(list, quiet, separators));
}

std::vector<std::string> of_words(const std::vector<std::string>& words) {
  return told(compat::resolve_models(words, quiet));
}

TEST(NamedModels, ThatAreMissingHaveASuggestion) {
  const btm_test::TempDir dir;
  make_file(dir / "runs/seed/checkpoint_last.pt");
  make_file(dir / "ru\x1bs/seed/checkpoint_last.pt");
  const std::vector<std::pair<std::string, std::string>> rows{
      {"runs/sed", "runs/seed"},
      {"runz/seed", "runs"},  // the first part that is missing
      {"runs/seed/checkpoint_lats.pt", "runs/seed/checkpoint_last.pt"}};
  for (const auto& [given, near] : rows)
    expect_error<compat::IoError>([&, name = given] { of_list((dir / name).string()); },
                                  "; did you mean " + (dir / near).string() + "?");
  expect_error<compat::IoError>([&] { of_list((dir / "ru\x1bx").string()); }, "/ru\\x1bs?");
  try {
    of_list((dir / "something_else").string());
    ADD_FAILURE();
  } catch (const compat::IoError& error) {
    EXPECT_EQ(std::string(error.what()).find("did you mean"), std::string::npos) << error.what();
  }
}

/// STEM.pt stands for the parts of a metaseq model, and there is no such file.
TEST(NamedModels, OfMetaseqsPartsAreNotTakenForMistypedNames) {
  const btm_test::TempDir dir;
  make_file(dir / "run/checkpoint_2000.pt");
  make_file(dir / "run/checkpoint_1000-model_part-0.pt");
  make_file(dir / "run/checkpoint_1000-model_part-1.pt");
  const auto models = compat::resolve_models((dir / "run/checkpoint_1000.pt").string(), quiet);
  ASSERT_EQ(models.size(), 1U);
  EXPECT_EQ(models.front().kind, ModelKind::kMetaseq);
  expect_error<compat::IoError>([&] { of_list((dir / "run/checkpoint_3000.pt").string()); },
                                "did you mean");
}

TEST(NamedModels, ThatAreLinksToNowhereAreNotSuggested) {
  const btm_test::TempDir dir;
  std::filesystem::create_symlink("gone", dir / "only_link");
  try {
    of_list((dir / "only_link/checkpoint_last.pt").string());
    ADD_FAILURE();
  } catch (const compat::IoError& error) {
    EXPECT_EQ(std::string(error.what()).find("did you mean"), std::string::npos) << error.what();
  }
}

TEST(NamedModels, AreFilesOrFoldersOfEveryKind) {
  const btm_test::TempDir dir;
  make_file(dir / "run/checkpoint_last.pt");
  make_file(dir / "run/checkpoint_best.pt");
  make_file(dir / "demix/checkpoint_last-rank-0.pt");
  make_file(dir / "export/model.safetensors", safetensors());
  make_file(dir / "hf/config.json", R"({"model_type": "opt"})");
  make_file(dir / "run/checkpoint_last.pt.d/other", "");
  struct Row {
    const char *given, *name, *path;
    ModelKind kind;
  };
  for (const Row& row :
       {Row{"run", "run", "run/checkpoint_last.pt", ModelKind::kCheckpoint},
        Row{"run/", "run", "run/checkpoint_last.pt", ModelKind::kCheckpoint},
        Row{"run/.", "run", "run/./checkpoint_last.pt", ModelKind::kCheckpoint},
        Row{"run/checkpoint_last.pt", "run", "run/checkpoint_last.pt", ModelKind::kCheckpoint},
        Row{"run/checkpoint_best.pt", "checkpoint_best", "run/checkpoint_best.pt",
            ModelKind::kCheckpoint},
        Row{"demix", "checkpoint_last-rank-0", "demix/checkpoint_last-rank-0.pt",
            ModelKind::kDemixRank},
        Row{"demix/checkpoint_last-rank-0.pt", "checkpoint_last-rank-0",
            "demix/checkpoint_last-rank-0.pt", ModelKind::kDemixRank},
        Row{"export", "export", "export/model.safetensors", ModelKind::kSafetensors},
        Row{"export/model.safetensors", "export", "export/model.safetensors",
            ModelKind::kSafetensors},
        Row{"hf", "hf", "hf", ModelKind::kHuggingFace}}) {
    const NamedModel model = resolve_model(dir / row.given);
    EXPECT_EQ(model.name, row.name) << row.given;
    EXPECT_EQ(model.path, dir / row.path) << row.given;
    EXPECT_EQ(model.kind, row.kind) << row.given;
  }
}

TEST(NamedModels, OfAReleasedDemixArchiveAreItsNumberedExperts) {
  const btm_test::TempDir dir;
  for (const char* name : {"2", "0", "10", "1"})
    make_file(dir / ("demix_small/checkpoint_" + std::string(name) + ".pt"));
  btm_test::expect_error<compat::FormatError>([&] { of_list((dir / "demix_small").string()); },
                                              "has no checkpoint_3.pt beside its other experts");
  fs::remove(dir / "demix_small/checkpoint_10.pt");
  const auto named = [&](const std::string& name) {
    return name + "=" + (dir / ("demix_small/" + name + ".pt")).string();
  };
  EXPECT_EQ(of_list((dir / "demix_small").string()),
            (std::vector{named("checkpoint_0"), named("checkpoint_1"), named("checkpoint_2")}));
  // Checkpoints of a run are no experts.
  make_file(dir / "run/checkpoint_1_100.pt");
  make_file(dir / "run/checkpoint_0.pt");
  EXPECT_THROW(resolve_model(dir / "run"), compat::IoError);
}

TEST(NamedModels, AreReadWhereTheyAreLinked) {
  const btm_test::TempDir dir;
  make_file(dir / "2026-11-29/checkpoint_last.pt");
  fs::create_directory_symlink(dir / "2026-11-29", dir / "law");
  EXPECT_EQ(resolve_model(dir / "law").name, "law");
}

TEST(NamedModels, OfAForestAreItsCompleteExpertsInItsOrder) {
  const btm_test::TempDir dir;
  for (const char* name : {"c10", "c2", "c/deeper"}) make_file(dir / name / "checkpoint_last.pt");
  const auto in = [&](const std::string& name, const std::string& file) {
    return name + "=" + (dir / file).string();
  };
  const std::vector released{in("c2", "c2/checkpoint_last.pt"),
                             in("c10", "c10/checkpoint_last.pt")};
  EXPECT_EQ(of_list(dir.path().string()), released);
  std::vector<std::string> lines;
  compat::resolve_models(dir.path().string(),
                         [&](const std::string& line) { lines.push_back(line); });
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines.front().find("are taken as experts: c2, c10"), std::string::npos);
  make_file(dir / "law/runs/2/model.safetensors", safetensors());
  write_file(dir / "forest.json", R"({"btm_forest": 1, "experts": [
    {"name": "law", "path": "law/runs/2", "parents": []},
    {"name": "new", "path": "new/checkpoint_last.pt", "parents": [], "complete": false},
    {"name": "c10", "path": "c10/checkpoint_last.pt", "parents": []}]})");
  const std::vector forest{in("law", "law/runs/2/model.safetensors"),
                           in("c10", "c10/checkpoint_last.pt")};
  EXPECT_EQ(of_list(dir.path().string()), forest);
  EXPECT_EQ(of_words({dir.path().string()}), forest);
  expect_error<compat::IoError>([&] { resolve_model(dir.path()); },
                                "holds 2 models (law, c10), expected one: name its file or folder");
  write_file(dir / "forest.json", R"({"btm_forest": 1, "experts": []})");
  expect_error<compat::IoError>([&] { of_list(dir.path().string()); }, "has no complete expert");
}

TEST(NamedModels, OfAForestAreNoForests) {
  const btm_test::TempDir dir;
  write_file(dir / "forest.json",
             R"({"btm_forest": 1, "experts": [{"name": "a", "path": ".", "parents": []}]})");
  expect_error<compat::IoError>([&] { of_list(dir.path().string()); }, "holds no model");
}

TEST(NamedModels, OfAForestAreAllThere) {
  const btm_test::TempDir dir;
  make_file(dir / "a/checkpoint_last.pt");
  write_file(dir / "forest.json", R"({"btm_forest": 1, "experts": [
      {"name": "a", "path": "a/checkpoint_last.pt", "parents": []},
      {"name": "gone", "path": "b/checkpoint_last.pt", "parents": []}]})");
  expect_error<compat::IoError>([&] { of_list(dir.path().string()); },
                                "b/checkpoint_last.pt: does not exist, and the manifest of the "
                                "forest names it as gone (btm expert remove takes it out)");
}

TEST(NamedModels, OfADemixFolderAreItsRanks) {
  const btm_test::TempDir dir;
  for (int rank = 0; rank < 11; ++rank)
    for (const char* const stem : {"checkpoint_last", "checkpoint_1_20"})
      make_file(dir / (std::string(stem) + "-rank-" + std::to_string(rank) + ".pt"));
  make_file(dir / "checkpoint_last-shared.pt");
  const std::vector<std::string> ranks = of_list(dir.path().string());
  ASSERT_EQ(ranks.size(), 11U);
  EXPECT_EQ(ranks[10], "checkpoint_last-rank-10=" + (dir / "checkpoint_last-rank-10.pt").string());
  expect_error<compat::IoError>(
      [&] { resolve_model(dir.path()); },
      "holds 11 models (checkpoint_last-rank-0, checkpoint_last-rank-1, ");
  make_file(dir / "checkpoint_last.pt");
  EXPECT_EQ(resolve_model(dir.path()).path, dir / "checkpoint_last.pt");
}

TEST(NamedModels, AreListedAsFairseqListsThem) {
  const btm_test::TempDir dir;
  const std::string a = make_file(dir / "a/checkpoint_last.pt").string(),
                    b = make_file(dir / "b.pt").string();
  EXPECT_EQ(of_list(""), std::vector<std::string>{});
  EXPECT_EQ(of_list(a + ":" + b), (std::vector{"a=" + a, "b=" + b}));
  EXPECT_EQ(of_list(":" + b + "::"), std::vector{"b=" + b});
  EXPECT_EQ(of_list(a + "," + b + ":" + b, ":,").size(), 3U);
  expect_error<compat::IoError>([&] { of_list(a + "," + b); }, "cannot open: No such file");
}

TEST(NamedModels, HaveTheNamesThatAreGiven) {
  const btm_test::TempDir dir;
  const std::string a = make_file(dir / "a/checkpoint_last.pt").string(),
                    b = make_file(dir / "b/checkpoint_last.pt").string(),
                    twin = make_file(dir / "twin/b/checkpoint_last.pt").string(),
                    equals = make_file(dir / "lr=0.1/checkpoint_last.pt").string();
  EXPECT_EQ(of_words({"seed=" + a, b}), (std::vector{"seed=" + a, "b=" + b}));
  EXPECT_EQ(of_words({"x=" + (dir / "a").string(), equals}),
            (std::vector{"x=" + a, "lr=0.1=" + equals}));
  EXPECT_EQ(of_words({"seed=" + a, b, twin}),
            (std::vector{"seed=" + a, b + "=" + b, twin + "=" + twin}));
  EXPECT_EQ(of_words({"b=" + a, b}), (std::vector{"b=" + a, b + "=" + b}));
  expect_error<compat::UsageError>(
      [&] {
        of_words({"b=" + a, "b=" + b});
      },
      "two models are named 'b', expected a name for each");
  expect_error<compat::UsageError>([&] { of_words({"=" + a}); }, "expected MODEL or NAME=MODEL");
  expect_error<compat::UsageError>([&] { of_words({"a="}); }, "'a=', expected MODEL or NAME=MODEL");
  expect_error<compat::UsageError>([&] { of_words({a, ""}); }, "'', expected MODEL or NAME=MODEL");
  fs::remove_all(dir / "lr=0.1");
  expect_error<compat::UsageError>(
      [&] { of_words({"x=" + dir.path().string()}); },
      "names one model, and " + dir.path().string() + " holds 2 models (a, b)");
}

TEST(NamedModels, RejectWhatIsNoModel) {
  const btm_test::TempDir dir;
  constexpr const char* kExpected =
      ", expected a checkpoint, a folder with checkpoint_last.pt, DeMIX ranks, parts of metaseq, a "
      "Hugging Face folder or a safetensors file";
  fs::create_directory(dir / "empty");
  make_file(dir / "bin/dict.txt");
  make_file(dir / "bin/train.idx");
  make_file(dir / "best/checkpoint_best.pt");
  make_file(dir / "text/a.txt");
  make_file(dir / "folders/of/nothing");
  make_file(dir / "hf/model.safetensors.index.json");
  make_file(dir / "forest/forest.json");
  for (const char* const rank :
       {"gap/m-rank-0.pt", "gap/m-rank-2.pt", "two/a-rank-0.pt", "two/b-rank-0.pt"})
    make_file(dir / rank);
  struct Row {
    const char* given;
    std::string problem;
  };
  for (const Row& row : {
           Row{"none", "none: cannot open: No such file or directory"},
           Row{"empty", std::string("empty: is an empty folder") + kExpected},
           Row{"bin", std::string("bin: is a data-bin (it holds dict.txt, train.idx)") + kExpected},
           Row{"bin/dict.txt", std::string("dict.txt: is a dictionary") + kExpected},
           Row{"bin/train", std::string("train: is the prefix of a data set") + kExpected},
           Row{"best", "best: holds checkpoint_best.pt but no checkpoint_last.pt (name the file)"},
           Row{"text", std::string("text: holds no model but a.txt") + kExpected},
           Row{"folders", "folders: holds no model but of"},
           Row{"hf/model.safetensors.index.json", "is a part of a Hugging Face folder, which is"},
           Row{"forest/forest.json", "is the manifest of a forest, whose folder is to be given"},
       }) {
    expect_error<compat::IoError>([&] { resolve_model(dir / row.given); }, row.problem);
    expect_error<compat::IoError>([&] { of_list((dir / row.given).string()); }, row.problem);
  }
  expect_error<compat::FormatError>([&] { resolve_model(dir / "gap"); },
                                    "gap: has no m-rank-1.pt beside its other ranks");
  expect_error<compat::FormatError>([&] { resolve_model(dir / "two"); },
                                    "two: holds DeMIX ranks of several models: a and b");
  expect_error<compat::FormatError>([&] { resolve_model(dir / "forest"); }, "is not JSON");
}

TEST(ChosenExperts, AreTheSameWordsForEveryCommand) {
  const std::vector<std::string> names{"seed", "law", "go", "it"};
  const auto chosen = [&](const std::string& experts, const std::string& without) {
    return compat::chosen_experts(names, {experts, without});
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(chosen("", ""), names);
  EXPECT_EQ(chosen("all", ""), (Names{"law", "go", "it"}));
  EXPECT_EQ(chosen("all", "go"), (Names{"law", "it"}));
  EXPECT_EQ(chosen("it,law", ""), (Names{"it", "law"}));
  EXPECT_EQ(chosen("", "seed,it"), (Names{"law", "go"}));
  expect_error<compat::UsageError>([&] { chosen("lav", ""); },
                                   "--experts names 'lav', expected some of the models: seed, law");
  expect_error<compat::UsageError>([&] { chosen("law,law", ""); }, "names 'law' twice");
  expect_error<compat::UsageError>([&] { chosen("", "lav"); }, "--without names 'lav'");
  expect_error<compat::UsageError>([&] { chosen("law", "law"); }, "leave no expert");
}

TEST(Models, OfAFolderWithoutManifestAreNotTheSeed) {
  const btm_test::TempDir dir;
  for (const char* const name : {"seed", "law", "go"}) make_file(dir / name / "checkpoint_last.pt");
  std::string warning;
  std::vector<std::string> names;
  for (const NamedModel& model : compat::resolve_models(
           dir.path().string(), [&](const std::string& line) { warning = line; }))
    names.push_back(model.name);
  EXPECT_EQ(names, (std::vector<std::string>{"go", "law"}));
  EXPECT_NE(warning.find("seed is left out"), std::string::npos) << warning;
}

}  // namespace
