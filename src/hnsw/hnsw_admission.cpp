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
    gathering_ = Gathering::Of(ef, filter->wanted);
    nearest_.Init(&ctx->arena, ef + 1);
    rows_.Init(&ctx->arena);
}

bool Admission::IsMember(const ItemPointerData& tid) {
    ++ctx_->counts.filter_tests;
    return filter_->members->Find(ItemPointerGetBlockNumberNoCheck(&tid), ItemPointerGetOffsetNumberNoCheck(&tid)) !=
           Membership::kOut;
}

bool Admission::HasMember(const FoundSlot& slot) {
    for (int i = 0; i < slot.tid_count; ++i)
        if ((!skip_killed_ || (slot.tids[i].flags & kTidKilled) == 0) && IsMember(slot.tids[i].tid)) return true;
    if (slot.tid_chain == kInvalidId) return false;
    uint32 epoch;
    if (!HnswReadRows(*ctx_, slot.id, slot.generation, skip_killed_, &rows_, &epoch)) return false;
    for (const NodeRow& row : rows_)
        if (IsMember(row.tid)) return true;
    return false;
}

bool Admission::Admit(const FoundSlot& slot) {
    const bool admits = slot.live && HasMember(slot);
    gathering_.Add(admits);
    if (admits) Keep(slot.distance);
    return admits;
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

bool Admission::IsHopeless() const {
    if (!may_give_up()) return false;
    const double most = static_cast<double>(filter_->most_nodes);
    return gathering_.met >= most || gathering_.IsHopeless(most);
}

bool Admission::Enough(float frontier) {
    if (ctx_->arena.allocated > memory_limit_ || IsHopeless()) {
        gave_up_ = may_give_up();
        return true;
    }
    // As many nodes as a search without a filter, at least.
    if (gathering_.met < ef_) return false;
    const size_t nearer =
        static_cast<size_t>(std::lower_bound(nearest_.begin(), nearest_.end(), frontier) - nearest_.begin());
    stopped_early_ = gathering_.Enough(static_cast<double>(nearer));
    return stopped_early_;
}

uint32 Admission::Held(uint32 waiting) const {
    if (!stopped_early_) return ef_ / 4;
    // A few more than wanted: what waits for its place in the order is asked for as well.
    const uint32 free = static_cast<uint32>((gathering_.wanted + gathering_.Needed()) / 2);
    return waiting > free ? waiting - free : 0;
}

}  // namespace vecann
