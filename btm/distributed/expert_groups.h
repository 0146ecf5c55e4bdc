// DeMIX: which parameters only some ranks share, and which ranks share them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace btm {

class Communicator;

/// The DeMIX fork's flags.
struct DemixOptions {
  bool desynchronize = false;
  bool domain_parallel = false;      ///< Has no effect, as in the fork.
  std::string sync_type;             ///< none: every rank is a group; manual: data_parallel_groups
  std::string data_parallel_groups;  ///< "0,1 2,3"
  std::string
      untie_parameters;  ///< the parameters that are a group's own: feedforward, transformer, ...
  /// Only the feed-forward layers are trained. All ranks share them, whatever the groups.
  bool adaptation = false;
};

/// Whether --adaptation trains the parameter with this name (fairseq's).
bool is_adapted(const std::string& parameter);

/// UsageError for values and combinations that the fork does not know. UnsupportedError for
/// --untie-parameters of modules that btm's models do not have.
void check_demix_options(const DemixOptions& options);

/// "0,1 2,3" -> {{0, 1}, {2, 3}}, each ascending. UsageError unless it holds every rank of
/// `world_size` once.
std::vector<std::vector<int>> parse_rank_groups(std::string_view text, int world_size);

/// Whether --untie-parameters `what` makes the parameter with this name (fairseq's) an expert's, in
/// a model of `decoder_layers`.
bool is_untied(std::string_view what, const std::string& parameter, std::int64_t decoder_layers);

class ExpertGroups {
 public:
  /// A collective call. `world` must outlive this.
  ExpertGroups(const DemixOptions& options, std::int64_t decoder_layers, Communicator& world);
  ~ExpertGroups();

  bool is_expert(const std::string& parameter) const {
    return !options_.adaptation && is_untied(options_.untie_parameters, parameter, decoder_layers_);
  }
  /// The ranks over which a parameter's gradient is summed.
  Communicator& group_of(const std::string& parameter) {
    return is_expert(parameter) ? *own_ : world_;
  }
  /// The norm by which all ranks clip the update. As in the fork it is sqrt(shared^2 + sum over
  /// *ranks* of expert^2): an expert counts once per rank. A collective call.
  double combined_norm(double shared, double expert);

 private:
  DemixOptions options_;
  std::int64_t decoder_layers_;
  Communicator& world_;
  std::unique_ptr<Communicator> own_;
};

}  // namespace btm
