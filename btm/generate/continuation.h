// One prompt and what follows it: beam search as fairseq's SequenceGenerator computes it, or
// samples. It says what a Predictor is to do next, and takes the answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "btm/generate/generate_options.h"
#include "btm/generate/sampling.h"
#include "btm/generate/token_rules.h"
#include "btm/mixing/predictor.h"

namespace btm {

struct Hypothesis {
  std::vector<std::int64_t> tokens;       ///< The prompt's, too; with the end-of-sentence symbol
                                          ///< unless `stopped`.
  std::vector<double> positional_scores;  ///< Natural logs; NaN where an expert that was not drawn
                                          ///< would have had to read (one expert per token).
  /// Their sum, normalised as the options say. With one expert per token, of the new tokens alone.
  double score = 0;
  /// For each token the experts' weights [E] when it came. Empty for one expert.
  std::vector<std::vector<double>> posterior;
  /// For each new token the expert that it was drawn from. Empty without one expert per token.
  std::vector<std::size_t> experts;
  /// For each token the most probable ones at its place, the best first, where options ask for
  /// them.
  std::vector<std::vector<TopToken>> top;
  std::size_t sample = 0;  ///< Its number among the samples.
  bool stopped = false;    ///< By OnToken, or because nothing should follow the prompt.
};

/// What is known of the tokens [first, last) of a text, without its score and its experts.
Hypothesis part_of(const Hypothesis& text, std::size_t first, std::size_t last = SIZE_MAX);

/// Called with a text behind each new token, the end-of-sentence symbol included, where hypotheses
/// do not compete: with sampling or a beam of 1. False ends the text there.
using OnToken = std::function<bool(const Hypothesis& text)>;

/// Called when a prompt has been read but for its last token, with the row and what is known of all
/// of the prompt's tokens.
using OnRead = std::function<void(Predictor::Row row, const Hypothesis& read)>;

/// A row that has read the beginning of a prompt, for others with the same beginning.
struct ReadPrefix {
  Predictor::Row row = 0;
  std::int64_t length = 0;  ///< Tokens that are used of the row.
  Hypothesis read;          ///< Of as many tokens, from the one after the end-of-sentence symbol.
};

class Continuation {
 public:
  /// `prompt` has no end-of-sentence symbol in front, and is cut behind max_length().
  /// std::invalid_argument as check_options(), and for a min_len that is longer than the longest
  /// text.
  Continuation(Predictor& predictor, const Symbols& symbols, std::vector<std::int64_t> prompt,
               const GenerateOptions& options, OnToken on_token = {});
  ~Continuation();
  Continuation(const Continuation&) = delete;
  Continuation& operator=(const Continuation&) = delete;

  /// The tokens that its first row, and its other rows together, may have at once, in whole blocks
  /// of the predictor.
  std::int64_t row_tokens() const;
  std::int64_t fork_tokens() const;
  /// Takes the first row, which begins with `prefix` if there is one. False where the predictor has
  /// no room for it.
  bool open(const ReadPrefix* prefix = nullptr, OnRead on_read = {});
  bool done() const noexcept { return opened_ && to_read_.empty() && growing_.empty(); }

  /// Whether tokens of the prompt are still to be read before others may follow.
  bool reads() const noexcept { return !opened_ || !to_read_.empty(); }
  const std::vector<std::int64_t>& prompt() const noexcept { return prompt_; }
  const GenerateOptions& options() const noexcept { return options_; }

  /// Adds what to compute next, at most `budget` tokens of the prompt. Returns the number of its
  /// tokens.
  std::size_t ask(Predictor::Step& step, std::size_t budget = SIZE_MAX);
  /// Takes the readouts of these tokens. Returns the number of its texts for which choose() is to
  /// be called before go_on(): none while it reads its prompt.
  std::size_t answer(std::span<Readout> readouts);
  /// Looks for what follows text i. Different texts may be looked at by different threads.
  void choose(std::size_t i);
  /// Goes on with what was chosen.
  void go_on();

  /// The best first. At most `beam`, and none where no token could follow.
  std::vector<Hypothesis> take_hypotheses();
  std::int64_t new_tokens() const noexcept { return new_tokens_; }

 private:
  struct Growing {
    Hypothesis text;
    double total = 0;  ///< log-probability
    Predictor::Row row = 0;
    std::vector<std::int64_t> unread;  ///< What was not fed yet: the last token; at the beginning
                                       ///< more with one expert per token.
  };
  /// What may follow a text.
  struct Choice {
    Readout readout;
    std::vector<TopToken> tokens;  ///< The best ones; with sampling the drawn one, or none.
    std::vector<TopToken> top;     ///< What a hypothesis tells of them.
  };
  struct Candidate {
    std::size_t parent = 0;
    TopToken token;
    double total = 0;
  };

  /// Whether there are weights of experts to tell.
  bool mixes() const { return predictor_.experts() > 1; }
  bool one_expert() const { return options_.sampling && options_.sampling->one_expert_per_token; }
  bool streams() const { return options_.sampling || options_.beam == 1; }
  void begin_growing();
  void skip_prompt();
  void read_prompt(std::span<Readout> readouts);
  std::vector<Candidate> candidates() const;
  void sample(std::vector<Growing>& next);
  void search(std::vector<Growing>& next);
  Growing extended(Growing parent, const TopToken& token, const Choice& choice);
  bool passes_on(const Growing& text);
  void finish(Growing text);
  void give_rows(std::vector<Growing>& next);

  Predictor& predictor_;
  Symbols symbols_;
  GenerateOptions options_;
  OnToken on_token_;
  OnRead on_read_;
  std::vector<std::int64_t> prompt_;
  std::int64_t longest_ = 0;
  TokenRules rules_;
  bool opened_ = false;
  Predictor::Row first_row_ = 0;
  std::vector<std::int64_t> to_read_;  ///< Of the end-of-sentence symbol and the prompt, but for
                                       ///< the last token; reversed.
  Hypothesis read_;                    ///< The prompt so far.
  double read_total_ = 0;
  std::vector<Growing> growing_;
  std::vector<Choice> choices_;       ///< Of each of them, from answer() to go_on().
  std::vector<RandomStream> random_;  ///< For each sample.
  std::vector<double> weights_;       ///< [E] with one expert per token.
  std::vector<Hypothesis> finished_;
  std::int64_t new_tokens_ = 0;
};

}  // namespace btm
