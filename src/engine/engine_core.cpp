#include "engine/engine_core.h"

#include <algorithm>
#include <limits>
#include <random>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "engine/request_check.h"
#include "sampling/random.h"

namespace xh {
namespace {

class ChannelStream final : public TokenStream {
 public:
  ChannelStream(std::shared_ptr<TokenChannel> channel, std::shared_ptr<Inbox> inbox)
      : channel_(std::move(channel)), inbox_(std::move(inbox)) {}
  ~ChannelStream() override {
    channel_->cancel();
    if (!channel_->ended()) inbox_->wake();
  }
  std::optional<StreamEvent> poll() override { return channel_->poll(); }
  StreamEvent wait() override { return channel_->wait(); }
  void on_ready(std::function<void()> callback) override {
    channel_->on_ready(std::move(callback));
  }

 private:
  std::shared_ptr<TokenChannel> channel_;
  std::shared_ptr<Inbox> inbox_;
};

SchedulerOptions scheduler_options(const EngineOptions& options, const ModelInfo& model,
                                   const KvStore& kv) {
  SchedulerOptions out;
  out.n_pages = kv.n_pages();
  out.max_batch_rows = options.max_batch_rows;
  out.max_sequences = options.max_sequences;
  out.max_waiting = std::numeric_limits<int32_t>::max();  // submit() has counted
  out.stall_ms = options.stall_ms;
  out.window = model.window;
  out.prefix_cache = options.prefix_cache;
  out.prefix_observer = options.prefix_observer;
  // Rows of logits: one per sequence, the rest for scored prompts and for guesses.
  if (model.max_logit_rows > 0) {
    const int32_t rest = std::max(0, model.max_logit_rows - options.max_sequences);
    out.max_scored_rows = std::max(1, rest / 2);
    out.max_draft_rows = rest / 2;
  }
  return out;
}

// Keys and values are only good for the program that made them: another build may round otherwise.
std::string program_digest() {
  auto file = MappedFile::open("/proc/self/exe");
  if (!file) return {};
  const Digest digest = sha256(file->bytes());
  return hex(std::as_bytes(std::span(digest)));
}

// Null when there is none, or it cannot be used: the server works without.
std::unique_ptr<KvDisk> open_disk(const EngineOptions& options, const LoadedModel& loaded,
                                  KvStore& kv, std::shared_ptr<Inbox> inbox) {
  if (options.kv_disk_folder.empty() || options.kv_disk_bytes == 0 || !options.prefix_cache ||
      loaded.fingerprint.empty())
    return nullptr;
  KvDiskOptions disk;
  disk.folder = options.kv_disk_folder;
  disk.budget_bytes = options.kv_disk_bytes;
  disk.min_pages = options.kv_disk_min_pages;
  disk.owner = loaded.fingerprint + "; " + std::string(kv_type_name(options.kv_type)) + "; " +
               std::to_string(kPageTokens) + "; " + std::to_string(kv.page_bytes()) + "; " +
               program_digest();
  auto made = KvDisk::open(std::move(disk), kv, [inbox = std::move(inbox)] { inbox->wake(); });
  if (made) return std::move(*made);
  log::warn("no keys and values on disk: {}", made.error().to_string());
  return nullptr;
}

// A quarter of it is enough for every sequence to take a page in the same step.
int32_t pages_ahead(const EngineOptions& options) {
  return 4 * options.max_sequences;
}

uint64_t random_seed() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

}  // namespace

EngineCore::EngineCore(LoadedModel loaded, const EngineOptions& options,
                       std::unique_ptr<KvStore> kv)
    : loaded_(std::move(loaded)),
      options_(options),
      kv_(std::move(kv)),
      disk_(open_disk(options, loaded_, *kv_, inbox_)),
      scheduler_(scheduler_options(options, loaded_.model->info(), *kv_), disk_.get()),
      scratch_(static_cast<size_t>(loaded_.model->host_threads())),
      warmer_(*kv_, pages_ahead(options)),
      seed_base_(random_seed()) {
  stats_.pages_total = kv_->n_pages();
  begin_pins();
  thread_ = std::thread([this] { run(); });
}

EngineCore::~EngineCore() {
  stopping_ = true;
  inbox_->close();
  thread_.join();
  scheduler_.keep_everything();
  if (disk_) disk_->finish();
}

Result<std::unique_ptr<TokenStream>> EngineCore::submit(GenerateRequest request) {
  auto refuse = [this](Error error) -> std::unexpected<Error> {
    ++rejected_;
    return std::unexpected(std::move(error));
  };
  auto checked =
      check_request(request, loaded_.model->info().vocab_size, loaded_.info.context_length);
  if (!checked) return refuse(std::move(checked).error());
  if (draining_)
    return refuse({ErrorCode::kUnavailable, "the server is shutting down", "", "try again later"});
  // Counted here and not by the engine's thread, so that a burst cannot slip in between its steps.
  const auto n = static_cast<int64_t>(request.prompt.size());
  const bool room = queued_.fetch_add(1) < options_.max_waiting;
  if (queued_tokens_.fetch_add(n) + n > options_.max_waiting_tokens || !room) {
    leave_queue(n);
    return refuse({ErrorCode::kUnavailable, "too many requests are waiting", "queue",
                   "try again in a few seconds"});
  }
  auto channel = std::make_shared<TokenChannel>();
  ++open_;
  if (inbox_->post({std::move(request), channel, Clock::now()}))
    return std::unique_ptr<TokenStream>(new ChannelStream(std::move(channel), inbox_));
  --open_;
  leave_queue(n);
  return refuse({ErrorCode::kUnavailable, "the engine has stopped", "", ""});
}

EngineStats EngineCore::stats() const {
  std::lock_guard lock(stats_mutex_);
  EngineStats out = stats_;
  out.rejected += rejected_;
  if (disk_) out.kv_disk = disk_->stats();
  return out;
}

void EngineCore::drain() {
  draining_ = true;
  for (const auto& channel : pin_channels_) channel->cancel();
  inbox_->wake();
}

bool EngineCore::drained() const {
  return draining_ && open_ == 0;
}

double EngineCore::ms_since_start(Clock::time_point t) const {
  return std::chrono::duration<double, std::milli>(t - start_).count();
}

void EngineCore::run() {
  loaded_.model->warm_up(*kv_);
  while (!stopping_) {
    const bool busy = !requests_.empty() && !idle_;
    auto submissions = inbox_->take(busy || (requests_.empty() && warmer_.behind()));
    if (stopping_) {
      for (auto& s : submissions) start(std::move(s));  // so that fail_all() reaches them
      break;
    }
    for (auto& s : submissions) start(std::move(s));
    drop_cancelled();
    if (!requests_.empty()) step();
    if (requests_.empty() && warmer_.behind()) ready_pages();
    if (!pins_.empty()) tell_pins();
    update_stats();
  }
  for (auto& s : inbox_->take(true)) start(std::move(s));
  fail_all({ErrorCode::kUnavailable, "the engine was stopped", "", "try again later"});
  update_stats();
}

void EngineCore::start(Submission submission) {
  GenerateRequest& request = submission.request;
  auto active =
      std::make_unique<ActiveRequest>(request, std::move(submission.channel), *loaded_.tokenizer,
                                      mix64(seed_base_ + ++seed_count_), submission.arrived);
  SequenceSpec spec;
  spec.score_prompt = request.prompt_logprobs >= 0;
  spec.prompt = std::move(request.prompt);
  spec.tenant = std::move(request.tenant);
  spec.priority = request.priority;
  if (request.deadline) spec.deadline_ms = ms_since_start(*request.deadline);
  counters_.prompt_tokens += spec.prompt.size();
  auto id = scheduler_.add(std::move(spec), ms_since_start(submission.arrived));
  if (!id) {
    ++rejected_;
    leave_queue(active->n_prompt());
    active->fail(std::move(id).error());
    --open_;
    return;
  }
  if (submission.pin >= 0)
    pins_.emplace(*id, PinWork{&options_.pins[static_cast<size_t>(submission.pin)], Clock::now()});
  requests_.emplace(*id, std::move(active));
}

void EngineCore::drop_cancelled() {
  std::vector<SequenceId> gone;
  for (const auto& [id, request] : requests_)
    if (request->cancelled()) gone.push_back(id);
  for (SequenceId id : gone) {
    scheduler_.remove(id);
    requests_.at(id)->fail({ErrorCode::kCancelled, "the client went away", "", ""});
    ++counters_.cancelled;
    close(id);
  }
}

void EngineCore::leave_queue(int64_t n_prompt) {
  --queued_;
  queued_tokens_ -= n_prompt;
}

void EngineCore::close(SequenceId id) {
  if (const auto& request = *requests_.at(id); !request.was_started())
    leave_queue(request.n_prompt());
  requests_.erase(id);
  --open_;
  if (const auto pin = pins_.extract(id); pin && !pin.mapped().ready)
    log::error("{} is not pinned: it could not be computed", pin.mapped().what->name);
}

void EngineCore::step() {
  const auto begin = Clock::now();
  if (options_.speculation) guess_ahead();
  const StepPlan plan = scheduler_.plan(ms_since_start(begin));
  finish_expired(plan);
  warmer_.used(scheduler_.pool().n_ever_used());
  for (const PageCopy& c : plan.copies) kv_->copy_page(c.dst, c.src, c.n_tokens);
  idle_ = plan.empty() && scheduler_.n_restoring() > 0;
  if (plan.empty()) return;
  for (const PlanEntry& e : plan.entries)
    if (auto& request = *requests_.at(e.id); !request.was_started()) {
      leave_queue(request.n_prompt());
      request.started(begin);
    }
  const MatView logits =
      loaded_.model->forward({plan.tokens, plan.sequences, plan.logit_rows}, *kv_);
  for (auto& s : inbox_->take(true)) start(std::move(s));
  if (scheduler_.hold_back(plan)) {
    for (const PlanEntry& e : plan.entries) hold_back(e);
  } else {
    look_at(plan, logits);
    for (size_t i = 0; i < plan.entries.size(); ++i) handle(plan, i, logits);
  }
  if (warmer_.urgent()) ready_pages();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  log::debug(
      "step of {} rows for {}, {:.0f} keys, {} logits: {:.1f} ms, {:.1f} expected, {:.1f} goal",
      plan.shape.rows, plan.entries.size(), plan.shape.keys, plan.logit_rows.size(), seconds * 1e3,
      scheduler_.expected_ms(plan), options_.stall_ms);
  learn_cost(plan, seconds * 1e3);
  counters_.step_seconds += seconds;
  const auto& bounds = EngineStats::kStepBounds;
  const auto bucket = std::ranges::lower_bound(bounds, seconds) - bounds.begin();
  ++counters_.step_times[static_cast<size_t>(bucket)];
  ++counters_.steps;
}

void EngineCore::ready_pages() {
  constexpr double kMs = 2;
  const int32_t threads = loaded_.model->host_threads();
  loaded_.model->for_each(threads, [this](int64_t, int32_t) { warmer_.work(kMs); });
}

void EngineCore::finish_expired(const StepPlan& plan) {
  for (SequenceId id : plan.expired) {
    requests_.at(id)->fail({ErrorCode::kDeadline, "the time limit has passed", "deadline",
                            "allow more time, or ask for fewer tokens"});
    ++counters_.failed;
    close(id);
  }
  for (SequenceId id : plan.stuck) {
    requests_.at(id)->fail({ErrorCode::kTooLarge,
                            "beside the pinned documents there is no memory for so many tokens",
                            "prompt", "shorten it, or begin with a pinned document"});
    ++counters_.failed;
    close(id);
  }
}

// Proposes tokens to every sequence that decodes. The scheduler takes what there is room for.
void EngineCore::guess_ahead() {
  std::vector<std::pair<SequenceId, ActiveRequest*>> decoding;
  for (const auto& [id, request] : requests_) {
    const Sequence& seq = *scheduler_.find(id);
    if (seq.running && seq.pending() == 1 && request->n_generated() > 0)
      decoding.emplace_back(id, request.get());
  }
  const double cost = guess_cost_.row_cost(static_cast<int32_t>(decoding.size()));
  for (const auto& [id, request] : decoding)
    scheduler_.set_draft(id, request->speculator().propose(scheduler_.find(id)->tokens,
                                                           request->n_left() - 1, cost));
}

void EngineCore::learn_cost(const StepPlan& plan, double ms) {
  scheduler_.step_took(plan, ms);
  int32_t guesses = 0;
  bool prompts = false;
  for (const PlanEntry& e : plan.entries) {
    guesses += e.n_draft;
    prompts |= e.n_rows > 1 + e.n_draft;
  }
  if (!prompts) guess_cost_.observe(static_cast<int32_t>(plan.entries.size()), guesses, ms);
}

void EngineCore::fail_poisoned(SequenceId id, Error error) {
  if (scheduler_.poison(id)) return;  // starts over without the cache
  requests_.at(id)->fail(std::move(error));
  ++counters_.failed;
  close(id);
}

void EngineCore::fail_all(const Error& error) {
  while (!requests_.empty()) {
    const SequenceId id = requests_.begin()->first;
    scheduler_.remove(id);
    requests_.at(id)->fail(error);
    ++counters_.failed;
    close(id);
  }
}

void EngineCore::update_stats() {
  counters_.waiting = scheduler_.n_waiting();
  counters_.running = scheduler_.n_running();
  counters_.pages_total = scheduler_.pool().n_pages();
  counters_.pages_used = scheduler_.pool().n_used();
  counters_.pages_cached = scheduler_.cache().n_evictable();
  counters_.preemptions = scheduler_.preemptions();
  counters_.pages_pinned = scheduler_.cache().n_pinned_pages();
  std::lock_guard lock(stats_mutex_);
  stats_ = counters_;
}

}  // namespace xh
