// The texts that btm score is given: lines, documents, JSONL or n-best lists, as they arrive.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "compat/io/line_source.h"

namespace btm {

struct ScoreInputOptions {
  std::vector<std::string> files;  ///< "-" is standard input, as is none.
  std::vector<std::string> texts;  ///< In place of files.
  bool documents = false;          ///< Blank lines separate texts.
  bool nbest = false;              ///< Lines are ID ||| TEXT, and what follows a further |||.
  std::string field;               ///< JSONL: the text's key. Empty: plain text.
  std::string context_field;       ///< JSONL: the key of what the text follows.
};

/// A text, or what stands in its place.
struct ScoreItem {
  std::string text;
  std::string context;
  std::string id;     ///< Of its n-best list.
  std::string where;  ///< "line 3", "notes.txt line 3".
  std::string error;  ///< Why it cannot be scored.
};

class ScoreInput {
 public:
  using State = compat::LineSource::State;
  /// UsageError for options that exclude each other, and for a file that is a text. IoError for a
  /// file that cannot be opened.
  explicit ScoreInput(ScoreInputOptions options);

  /// The next text. kNotYet only where `wait` is false. Errors of LineSource.
  State next(ScoreItem& item, bool wait);
  /// Whether lines are typed by hand.
  bool terminal() const { return source_ && source_->terminal(); }

 private:
  State next_line(std::string& line, bool wait);
  State next_document(ScoreItem& item, bool wait);
  void read_json(ScoreItem& item) const;
  static void read_nbest(ScoreItem& item);
  std::string where(std::size_t line) const;

  ScoreInputOptions options_;
  std::size_t file_ = 0;  ///< The next one, also of options_.texts.
  std::unique_ptr<compat::LineSource> source_;
  std::size_t line_ = 0;       ///< Of the current file.
  std::string document_;       ///< So far.
  std::size_t begin_ = 0;      ///< Line of its beginning; 0: none has begun.
  std::string document_from_;  ///< where() of its beginning.
};

}  // namespace btm
