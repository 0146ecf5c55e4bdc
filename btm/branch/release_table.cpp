#include "btm/branch/release_table.h"

#include <algorithm>
#include <array>

namespace btm {
namespace {

constexpr std::array<ReleaseScale, 4> kScales{{
    {"125M", "transformer_lm_gpt3_small", 16, 2, 80000, 40000, 32, 5e-4, 8000, 4000, "fp16"},
    {"350M", "transformer_lm_gpt3_medium", 32, 4, 32000, 16000, 32, 5e-4, 4000, 2000, "fp16"},
    {"750M", "transformer_lm_gpt3_large", 64, 8, 24000, 12000, 32, 5e-4, 2000, 1000,
     "memory-efficient-fp16"},
    {"1.3B", "transformer_lm_gpt3_xl", 128, 16, 12000, 6000, 32, 5e-4, 2000, 500,
     "memory-efficient-fp16"},
}};

constexpr std::array<std::string_view, 8> kTraining{"1b",
                                                    "anonymized_openwebtext",
                                                    "anonymized_realnews",
                                                    "anonymized_reviews",
                                                    "cs",
                                                    "legal",
                                                    "med",
                                                    "reddit"};

constexpr std::array<std::string_view, 8> kEvaluation{"anonymized_latest_news_redo",
                                                      "anonymized_tweets_redo",
                                                      "anonymized_yelp_reviews_redo",
                                                      "cord19-redo",
                                                      "github_redo",
                                                      "gutenberg",
                                                      "legal_contracts",
                                                      "qasper"};

constexpr std::array<std::string_view, 56> kScaled{"2021newscrawl",
                                                   "Biology",
                                                   "Books",
                                                   "Business",
                                                   "C#",
                                                   "C++",
                                                   "CSS",
                                                   "C",
                                                   "Chemistry",
                                                   "ClothingShoesandJewelry",
                                                   "Economics",
                                                   "Electronics",
                                                   "Engineering",
                                                   "GO",
                                                   "Geography",
                                                   "Geology",
                                                   "HTML",
                                                   "History",
                                                   "HomeandKitchen",
                                                   "JavaScript",
                                                   "Java",
                                                   "Markdown",
                                                   "Mathematics",
                                                   "MoviesandTV",
                                                   "PHP",
                                                   "Philosophy",
                                                   "Physics",
                                                   "Psychology",
                                                   "Python",
                                                   "Ruby",
                                                   "Sociology",
                                                   "SportsandOutdoors",
                                                   "acl",
                                                   "anonymizedyelpreviewsredodemixpaper",
                                                   "art",
                                                   "bookcorpus",
                                                   "c4",
                                                   "codecontests",
                                                   "cord19",
                                                   "dmmathematics",
                                                   "envsci",
                                                   "gamingcomments",
                                                   "gutenberg",
                                                   "hackernews",
                                                   "materials",
                                                   "na",
                                                   "opensubtitles",
                                                   "polisci",
                                                   "sportscomments",
                                                   "stackexchange",
                                                   "stackoverflow",
                                                   "stories",
                                                   "supremecourt",
                                                   "twitter",
                                                   "uspto",
                                                   "wikipedia"};

}  // namespace

std::span<const ReleaseScale> release_scales() noexcept { return kScales; }

const ReleaseScale* find_release_scale(std::string_view name) noexcept {
  const auto found = std::ranges::find_if(kScales, [&](const ReleaseScale& row) {
    return row.name == name || row.architecture == name;
  });
  return found == kScales.end() ? nullptr : &*found;
}

std::span<const std::string_view> release_training_domains() noexcept { return kTraining; }
std::span<const std::string_view> release_evaluation_domains() noexcept { return kEvaluation; }
std::span<const std::string_view> release_scaled_domains() noexcept { return kScaled; }

}  // namespace btm
