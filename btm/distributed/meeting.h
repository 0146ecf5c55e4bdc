// What all process groups of a run share: the store where the ranks met, and the watch over them.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <memory>
#include <string>

#include "btm/distributed/rank_watch.h"
#include "btm/distributed/rendezvous.h"

namespace btm {

class Meeting {
 public:
  /// Meets the other ranks at `place`: rank 0 opens the store (on `store_socket`, if that is a
  /// listening socket), the others connect to it. Returns when all are there; RankLost when some
  /// have not come within five minutes. UsageError, on all ranks, when they were told of another
  /// number of ranks or one came twice; on this one, when those that meet there have another token.
  Meeting(const Rendezvous& place, int store_socket);
  /// Tells the other ranks that this one leaves, or that it failed when an exception is on its way.
  ~Meeting();
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  const Rendezvous& place() const noexcept { return place_; }
  const c10::intrusive_ptr<c10d::Store>& store() const noexcept { return store_; }
  RankWatch& watch() noexcept { return *watch_; }
  /// Tells the ranks that meet at the place of a rank that is none of theirs, so that they do not
  /// wait for it.
  static void tell(const MisplacedRank& rank) noexcept;
  /// Whether the run is over for this rank: process groups may have collectives under way that
  /// never end.
  bool failing() const;
  /// The address of this machine by which the other ranks reach it.
  std::string own_address() const;

 private:
  Rendezvous place_;
  int exceptions_;  ///< In flight at construction.
  c10::intrusive_ptr<c10d::Store> store_;
  std::unique_ptr<RankWatch> watch_;
};

}  // namespace btm
