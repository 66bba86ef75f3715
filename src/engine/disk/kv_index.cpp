#include "engine/disk/kv_index.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/check.h"

namespace xh {

size_t DigestHash::operator()(const Digest& d) const {
  size_t out;
  std::memcpy(&out, d.data(), sizeof out);
  return out;
}

std::string KvIndex::Run::file_name() const {
  return hex(std::as_bytes(std::span(ends.back())).first(20)) + ".xhkv";
}

Digest KvIndex::root(const std::string& tenant) const {
  return key_.digest("root", {std::as_bytes(std::span(owner_)), std::as_bytes(std::span(tenant))});
}

Digest KvIndex::after(const Digest& parent, std::span<const TokenId> page) const {
  return key_.digest("page", {std::as_bytes(std::span(parent)), std::as_bytes(page)});
}

RunId KvIndex::add(const Digest& parent, std::vector<TokenId> tokens, uint64_t bytes, bool ready) {
  XH_CHECK(!tokens.empty() && tokens.size() % kPageTokens == 0);
  const RunId id = next_++;
  Run& run = runs_[id];
  run.parent = parent;
  run.tokens = std::move(tokens);
  run.bytes = bytes;
  run.ready = ready;
  run.last_used = ++clock_;
  Digest at = parent;
  for (size_t i = 0; i * kPageTokens < run.tokens.size(); ++i) {
    children_.emplace(at, Place{id, static_cast<int32_t>(i)});
    at = after(at, std::span(run.tokens).subspan(i * kPageTokens, kPageTokens));
    run.ends.push_back(at);
  }
  used_bytes_ += bytes;
  return id;
}

void KvIndex::set_ready(RunId run) {
  runs_.at(run).ready = true;
}

void KvIndex::remove(RunId id) {
  const Run& run = runs_.at(id);
  for (size_t i = 0; i < run.ends.size(); ++i) {
    auto [begin, end] = children_.equal_range(i == 0 ? run.parent : run.ends[i - 1]);
    for (auto it = begin; it != end; ++it)
      if (it->second.run == id) {
        children_.erase(it);
        break;
      }
  }
  used_bytes_ -= run.bytes;
  runs_.erase(id);
}

const KvIndex::Run* KvIndex::find(RunId run) const {
  auto it = runs_.find(run);
  return it == runs_.end() ? nullptr : &it->second;
}

std::span<const TokenId> KvIndex::tokens_at(Place place) const {
  return std::span(runs_.at(place.run).tokens)
      .subspan(static_cast<size_t>(place.page) * kPageTokens, kPageTokens);
}

std::optional<KvIndex::Place> KvIndex::child(const Digest& at, std::span<const TokenId> page,
                                             bool ready) const {
  auto [begin, end] = children_.equal_range(at);
  for (auto it = begin; it != end; ++it)
    if ((!ready || runs_.at(it->second.run).ready) &&
        std::ranges::equal(tokens_at(it->second), page))
      return it->second;
  return std::nullopt;
}

KvIndex::Known KvIndex::known(Digest at, std::span<const TokenId> tokens) const {
  Known out{at};
  for (; tokens.size() >= kPageTokens; tokens = tokens.subspan(kPageTokens)) {
    const auto place = child(out.end, tokens.first(kPageTokens), false);
    if (!place) break;
    out.end = runs_.at(place->run).ends[static_cast<size_t>(place->page)];
    ++out.n_pages;
  }
  return out;
}

std::vector<KvIndex::Place> KvIndex::match(Digest at, std::span<const TokenId> tokens,
                                           int32_t least) {
  std::vector<Place> out;
  for (; tokens.size() >= kPageTokens; tokens = tokens.subspan(kPageTokens)) {
    const auto place = child(at, tokens.first(kPageTokens), true);
    if (!place) break;
    out.push_back(*place);
    at = runs_.at(place->run).ends[static_cast<size_t>(place->page)];
  }
  const auto rest = tokens.first(std::min<size_t>(tokens.size(), kPageTokens));
  std::optional<Place> best;
  int32_t longest = least - 1;
  auto [begin, end] = children_.equal_range(at);
  for (auto it = begin; it != end; ++it) {
    if (!runs_.at(it->second.run).ready) continue;
    const auto [a, b] = std::ranges::mismatch(rest, tokens_at(it->second));
    const auto common = static_cast<int32_t>(a - rest.begin());
    if (common > longest) longest = common, best = it->second;
  }
  if (best) out.push_back(*best);
  // The deepest first: what everything hangs from is the last to go.
  for (auto it = out.rbegin(); it != out.rend(); ++it) touch(it->run);
  return out;
}

std::vector<RunId> KvIndex::below(const Digest& at, std::span<const TokenId> page) const {
  std::vector<RunId> out;
  std::unordered_set<RunId> seen;
  std::vector<Place> pending;
  auto [begin, end] = children_.equal_range(at);
  for (auto it = begin; it != end; ++it)
    if (std::ranges::equal(tokens_at(it->second), page)) pending.push_back(it->second);
  while (!pending.empty()) {
    const Place place = pending.back();
    pending.pop_back();
    if (seen.insert(place.run).second) out.push_back(place.run);
    auto [first, last] =
        children_.equal_range(runs_.at(place.run).ends[static_cast<size_t>(place.page)]);
    for (auto it = first; it != last; ++it) pending.push_back(it->second);
  }
  return out;
}

bool KvIndex::is_leaf(RunId id, const Run& run) const {
  for (const Digest& end : run.ends) {
    auto [first, last] = children_.equal_range(end);
    for (auto it = first; it != last; ++it)
      if (it->second.run != id) return false;
  }
  return true;
}

std::optional<RunId> KvIndex::oldest_leaf() const {
  std::optional<RunId> best;
  for (const auto& [id, run] : runs_)
    if (run.ready && (!best || run.last_used < runs_.at(*best).last_used) && is_leaf(id, run))
      best = id;
  return best;
}

}  // namespace xh
