// EngineCore, from logits to tokens. Rows are looked at on all threads, which changes nothing; then
// each sequence takes what was found, one after the other.
#include "engine/engine_core.h"

namespace xh {
namespace {

std::span<const float> row_of(MatView logits, int64_t i) {
  return {logits.row(i), static_cast<size_t>(logits.cols)};
}

}  // namespace

void EngineCore::look_at(const StepPlan& plan, MatView logits) {
  struct Item {
    size_t entry;
    int32_t score = -1;  // row of logits; -1: choose tokens
    TokenId next = 0;    // the one that is scored
  };
  std::vector<Item> items;
  scores_.assign(static_cast<size_t>(logits.rows), std::nullopt);
  choices_.assign(plan.entries.size(), {});
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    const PlanEntry& e = plan.entries[i];
    const Sequence& seq = *scheduler_.find(e.id);
    if (e.n_logits > 0 && e.first_pos + e.n_rows - e.n_draft == seq.n_tokens())
      items.push_back({i});
    if (!seq.scores()) continue;
    for (int32_t k = 0; k < e.n_logits; ++k) {
      const int32_t pos = e.first_pos + e.n_rows - e.n_logits + k;
      if (pos + 1 < seq.n_prompt)
        items.push_back({i, e.first_logit + k, seq.tokens[static_cast<size_t>(pos + 1)]});
    }
  }
  loaded_.model->for_each(static_cast<int64_t>(items.size()), [&](int64_t at, int32_t thread) {
    const Item& item = items[static_cast<size_t>(at)];
    SamplerScratch& scratch = scratch_[static_cast<size_t>(thread)];
    if (item.score < 0) return choose_ahead(plan, item.entry, logits, scratch);
    scores_[static_cast<size_t>(item.score)] =
        requests_.find(plan.entries[item.entry].id)
            ->second->score(row_of(logits, item.score), item.next, scratch);
  });
}

// Tokens of one sequence as far as guesses hold; one if its sampler must accept each first.
void EngineCore::choose_ahead(const StepPlan& plan, size_t entry, MatView logits,
                              SamplerScratch& scratch) {
  const PlanEntry& e = plan.entries[entry];
  const ActiveRequest& request = *requests_.find(e.id)->second;
  const int32_t sure = e.n_rows - e.n_draft;
  const int32_t first_logit = e.first_logit + e.n_logits - 1 - e.n_draft;
  const int32_t most = request.chooses_in_order() ? 0 : e.n_draft;
  for (int32_t d = 0; d <= most; ++d) {
    choices_[entry].push_back(
        request.choose(row_of(logits, first_logit + d), e.first_pos + sure + d, scratch));
    const auto& choice = choices_[entry].back();
    if (!choice || d == e.n_draft ||
        plan.tokens[static_cast<size_t>(e.first_row + sure + d)] != choice->token)
      return;
  }
}

// Log-probabilities of the prompt. False: the request has failed or starts over.
bool EngineCore::score_prompt(const PlanEntry& e, ActiveRequest& request) {
  const Sequence& seq = *scheduler_.find(e.id);
  for (int32_t i = 0; i < e.n_logits; ++i) {
    const int32_t pos = e.first_pos + e.n_rows - e.n_logits + i;
    if (pos + 1 >= seq.n_prompt) return true;
    auto& scored = *scores_[static_cast<size_t>(e.first_logit + i)];
    if (!scored) {
      fail_poisoned(e.id, std::move(scored).error());
      return false;
    }
    request.take_score(std::move(*scored));
  }
  return true;
}

// Its prompt waits for those of others, with the last row if it has come to that.
void EngineCore::hold_back(const PlanEntry& e) {
  if (e.n_logits == 0)
    scheduler_.advance(e.id, e.n_rows, false);
  else
    scheduler_.hold(e.id, e.n_rows);
}

void EngineCore::handle(const StepPlan& plan, size_t entry, MatView logits) {
  const PlanEntry& e = plan.entries[entry];
  const Sequence* seq = scheduler_.find(e.id);
  if (seq == nullptr || !seq->running) return;  // fell with another's poisoned pages
  if (e.n_logits == 0) {
    scheduler_.advance(e.id, e.n_rows, false);
    return;
  }
  if (seq->scores() && !score_prompt(e, *requests_.at(e.id))) return;
  if (e.first_pos + e.n_rows - e.n_draft < seq->n_tokens())
    scheduler_.advance(e.id, e.n_rows, true);
  else
    take_tokens(plan, entry, logits);
}

// Takes the token after the last one, and after each guess as long as guesses prove right.
void EngineCore::take_tokens(const StepPlan& plan, size_t entry, MatView logits) {
  const PlanEntry& e = plan.entries[entry];
  const Sequence& seq = *scheduler_.find(e.id);
  ActiveRequest& request = *requests_.at(e.id);
  const int32_t sure = e.n_rows - e.n_draft;
  const int32_t first_logit = e.first_logit + e.n_logits - 1 - e.n_draft;
  int32_t held = 0;
  bool done = false;
  for (int32_t d = 0; d <= e.n_draft; ++d) {
    auto& known = choices_[entry];
    auto choice = static_cast<size_t>(d) < known.size()
                      ? std::move(known[static_cast<size_t>(d)])
                      : request.choose(row_of(logits, first_logit + d), e.first_pos + sure + d,
                                       scratch_.front());
    if (!choice) {
      if (d > 0) break;  // the next step meets it as a row of its own
      fail_poisoned(e.id, std::move(choice).error());
      return;
    }
    if (request.n_generated() == 0) {
      request.set_cached_tokens(seq.cached_tokens);
      count_prefix(seq);
    }
    held = d;
    const TokenId token = choice->token;
    scheduler_.append(e.id, token);
    ++counters_.generated_tokens;
    done = request.accept(std::move(*choice));
    if (done || d == e.n_draft || plan.tokens[static_cast<size_t>(e.first_row + sure + d)] != token)
      break;
  }
  request.speculator().outcome(e.n_draft, held);
  counters_.guessed_tokens += static_cast<uint64_t>(e.n_draft);
  counters_.guessed_right += static_cast<uint64_t>(held);
  scheduler_.advance(e.id, sure + held, true);
  if (!done) {
    request.flush();
    return;
  }
  if (pins_.contains(e.id)) pin_done(e.id);
  scheduler_.remove(e.id);
  request.finish();
  ++counters_.finished;
  close(e.id);
}

void EngineCore::count_prefix(const Sequence& seq) {
  counters_.cached_tokens += static_cast<uint64_t>(seq.cached_tokens);
  counters_.prefix_hits_memory += seq.cached_tokens > seq.restored_tokens;
  counters_.prefix_hits_disk += seq.restored_tokens > 0;
  counters_.prefix_misses += seq.cached_tokens == 0;
}

}  // namespace xh
