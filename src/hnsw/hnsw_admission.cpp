// Admission of nodes to a filtered search; see hnsw_admission.h.
#include "hnsw/hnsw_admission.h"

#include <algorithm>

namespace vecann {

void Admission::Init(HnswContext* ctx, const SearchFilter* filter, uint32 ef, bool skip_killed, size_t memory_limit) {
    ctx_ = ctx;
    filter_ = filter;
    ef_ = ef;
    memory_limit_ = memory_limit;
    skip_killed_ = skip_killed;
    gave_up_ = stopped_early_ = false;
    seen_ = admitted_ = 0;
    const double most = MostWanted();
    wanted_ = filter->wanted > 0 && filter->wanted < most ? static_cast<uint32>(std::ceil(filter->wanted))
                                                          : static_cast<uint32>(most);
    nearest_.Init(&ctx->arena, ef + 1);
    rows_.Init(&ctx->arena);
}

bool Admission::IsMember(const ItemPointerData& tid) {
    ++ctx_->counts.filter_tests;
    return filter_->members->Find(ItemPointerGetBlockNumberNoCheck(&tid), ItemPointerGetOffsetNumberNoCheck(&tid)) !=
           Membership::kOut;
}

bool Admission::Admit(const FoundSlot& slot) {
    ++seen_;
    if (!slot.live) return false;
    bool admits = false;
    for (int i = 0; !admits && i < slot.tid_count; ++i)
        admits = (!skip_killed_ || (slot.tids[i].flags & kTidKilled) == 0) && IsMember(slot.tids[i].tid);
    if (!admits && slot.tid_chain != kInvalidId) {
        uint32 epoch;
        if (!HnswReadRows(*ctx_, slot.id, slot.generation, skip_killed_, &rows_, &epoch)) return false;
        for (size_t i = 0; !admits && i < rows_.size; ++i)
            admits = IsMember(rows_[i].tid);
    }
    if (!admits) return false;
    ++admitted_;
    Keep(slot.distance);
    return true;
}

void Admission::KeepMembers(ArenaVec<NodeRow>* rows) {
    size_t kept = 0;
    for (const NodeRow& row : *rows)
        if (IsMember(row.tid)) (*rows)[kept++] = row;
    rows->size = kept;
}

void Admission::Keep(float distance) {
    if (nearest_.size == ef_) {
        if (!(distance < nearest_[ef_ - 1])) return;
        --nearest_.size;
    }
    nearest_.Push(distance);
    float* last = nearest_.end() - 1;
    std::rotate(std::upper_bound(nearest_.begin(), last, distance), last, nearest_.end());
}

uint32 Admission::Needed() const {
    const double rate = static_cast<double>(admitted_) / static_cast<double>(Max<uint64>(seen_, 1));
    return static_cast<uint32>(Min<double>(MembersNeeded(wanted_, ef_, rate), ef_));
}

bool Admission::Enough(float frontier) {
    if (ctx_->arena.allocated > memory_limit_ || (may_give_up() && seen_ >= filter_->most_nodes)) {
        gave_up_ = may_give_up();
        return true;
    }
    // As many nodes as a search without a filter, at least.
    if (seen_ < ef_) return false;
    const uint32 needed = Needed();
    stopped_early_ = needed <= nearest_.size && nearest_[needed - 1] < frontier;
    return stopped_early_;
}

uint32 Admission::Held(uint32 waiting) const {
    if (!stopped_early_) return ef_ / 4;
    // A few more than wanted: what waits for its place in the order is asked for as well.
    const uint32 free = wanted_ + (Needed() - Min(Needed(), wanted_)) / 2;
    return waiting > free ? waiting - free : 0;
}

}  // namespace vecann
