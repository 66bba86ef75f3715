#include "engine/copy_track.h"

#include <algorithm>
#include <utility>

#include "engine/ngram_index.h"

namespace xh {
namespace {
constexpr int32_t kMostLost = 12;   // tokens off the source, then the copy is over
constexpr int32_t kSureCopy = 6;    // fewer agreed tokens than these may be chance
constexpr int32_t kNearby = 6;      // how far from the expected place it may go on
constexpr int32_t kLongChange = 4;  // longer ones are not the change of a word
constexpr size_t kMostChanges = 16;
}  // namespace

void CopyTrack::lose() {
  if (++lost_ > kMostLost || agreed_ < kSureCopy) place_ = -1;
}

void CopyTrack::follow(std::span<const TokenId> tokens) {
  size_t held = 0;
  for (; followed_ < tokens.size() && held < guesses_.size() &&
         tokens[followed_] == guesses_[held].token;
       ++held, ++followed_, ++agreed_) {
    if (lost_ > 0) learn(tokens.first(followed_), guessed_from_, 0);
    place_ = guesses_[held].after;
    lost_ = 0;
  }
  // A change that was not made this time.
  if (followed_ < tokens.size() && held < guesses_.size() && guesses_[held].source >= 0) {
    place_ = guesses_[held].source;
    if (tokens[static_cast<size_t>(place_)] == tokens[followed_]) forget(tokens, place_);
  }
  guesses_.clear();
  for (; place_ >= 0 && followed_ < tokens.size(); ++followed_) {
    if (lost_ == 0 && tokens[static_cast<size_t>(place_)] == tokens[followed_])
      ++place_, ++agreed_;
    else
      lose();
  }
  followed_ = tokens.size();
}

CopyTrack::Place CopyTrack::find(std::span<const TokenId> tokens) const {
  if (place_ < 0) return {};
  // After a change of n tokens, their like in the source are some n as well.
  const int32_t wanted = place_ + lost_;
  const auto near = NgramIndex::find_near(tokens, place_, wanted + kNearby + lost_, wanted);
  if (near.length > 0) return {near.next, near.length};
  return lost_ == 1 || lost_ == 2 ? Place{place_ + 1, 0} : Place{};
}

void CopyTrack::set_place(std::span<const TokenId> tokens, int32_t next, int32_t length) {
  const bool same = place_ >= 0 && next >= place_ && next <= place_ + 2 * lost_ + kNearby;
  if (same && lost_ > 0) learn(tokens, next, length);
  agreed_ = same ? agreed_ + 1 : length;
  place_ = next;
  lost_ = 0;
}

bool CopyTrack::is_in_a_change() const {
  return place_ >= 0 && lost_ > 0 && lost_ <= kLongChange && agreed_ >= kSureCopy;
}

// What stands in the source from the place on, up to where both agree again, became what was
// written since.
void CopyTrack::learn(std::span<const TokenId> tokens, int32_t next, int32_t length) {
  const int32_t again = std::min(length, lost_);
  const int32_t n_from = next - again - place_, n_to = lost_ - again;
  if (n_from < 1 || n_from > kLongChange || n_to > kLongChange) return;
  const auto from = tokens.subspan(static_cast<size_t>(place_), static_cast<size_t>(n_from));
  const auto to =
      tokens.subspan(tokens.size() - static_cast<size_t>(lost_), static_cast<size_t>(n_to));
  forget(tokens, place_);
  if (changes_.size() == kMostChanges) changes_.erase(changes_.begin());
  changes_.push_back({{from.begin(), from.end()}, {to.begin(), to.end()}});
}

const CopyTrack::Change* CopyTrack::change_at(std::span<const TokenId> tokens,
                                              int32_t place) const {
  const auto rest = tokens.subspan(static_cast<size_t>(place));
  for (size_t i = changes_.size(); i-- > 0;)
    if (rest.size() > changes_[i].from.size() &&
        std::ranges::equal(rest.first(changes_[i].from.size()), changes_[i].from))
      return &changes_[i];
  return nullptr;
}

void CopyTrack::forget(std::span<const TokenId> tokens, int32_t source) {
  if (const Change* change = change_at(tokens, source))
    changes_.erase(changes_.begin() + (change - changes_.data()));
}

std::vector<TokenId> CopyTrack::guess(std::span<const TokenId> tokens, int32_t next, int32_t most,
                                      bool elsewhere) {
  guesses_.clear();
  guessed_from_ = next;
  const auto limit = static_cast<size_t>(std::max(0, most));
  const auto end = static_cast<int32_t>(tokens.size());
  int32_t changed = -1;
  const auto add = [&](TokenId token, int32_t after) {
    if (guesses_.size() < limit) guesses_.push_back({token, after, std::exchange(changed, -1)});
  };
  while (guesses_.size() < limit && next < end) {
    if (const Change* change = change_at(tokens, next)) {
      changed = next;
      next += static_cast<int32_t>(change->from.size());
      for (TokenId token : change->to) add(token, next);
    } else {
      add(tokens[static_cast<size_t>(next)], next + 1);
      ++next;
    }
  }
  std::vector<TokenId> out;
  for (const Guess& g : guesses_) out.push_back(g.token);
  if (elsewhere) guesses_.clear();
  return out;
}

}  // namespace xh
