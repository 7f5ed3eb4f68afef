// The graphs of a build's partitions, and merging the lists that a node has in several of them. See hnsw_external.h.
#include <algorithm>
#include <bit>

#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_external.h"

namespace vecann {

namespace {

// ---- building ------------------------------------------------------------------------

// What stands before a list in a file: then its edges, their distances, their codes. The ids of edges are nodes.
struct ListHeader {
    uint32 node;
    uint16 degree;
    uint16 reserved;
};

struct Members {
    Arena arena;
    uint64 own, count;  // guests follow the partition's own nodes
    uint32* nodes;
    float* vectors;
};

// Nodes whose lists are done, for the progress.
struct Progress {
    uint64 done, count, total;
};

void ReportPartition(int64 done, int64 total, void* arg) {
    const Progress* progress = static_cast<const Progress*>(arg);
    const double share = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
    pgstat_progress_update_param(
        PROGRESS_CREATEIDX_TUPLES_DONE,
        static_cast<int64>(progress->done + static_cast<uint64>(share * static_cast<double>(progress->count))));
}

void ReadMembers(ExternalBuild* build, int p, Members* members) {
    const VectorForm& form = build->jobs.ctx->form;
    members->arena = MakeArena(build->step);
    members->own = build->first_node[p + 1] - build->first_node[p];
    members->count = members->own + build->guest_count[p];
    members->nodes = members->arena.Allocate<uint32>(members->count);
    members->vectors = members->arena.Allocate<float>(members->count * build->dim);
    char* payload = members->arena.Allocate<char>(build->payload_size);
    TempFile* guests = &build->guests[p];
    guests->Rewind();
    for (uint64 i = 0; i < members->count; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        if (i < members->own) {
            build->nodes.Get<NodeRecord>();
            build->nodes.Read(payload, build->payload_size);
            members->nodes[i] = static_cast<uint32>(build->first_node[p] + i);
        } else {
            members->nodes[i] = guests->Get<uint32>();
            guests->Read(payload, build->payload_size);
        }
        HnswDecode(form, payload, members->vectors + i * build->dim);
    }
    guests->Close();
}

int PartitionOf(const ExternalBuild& build, uint32 node) {
    const uint64* first = build.first_node;
    return static_cast<int>(std::upper_bound(first, first + build.partitions + 1, uint64{node}) - first) - 1;
}

// Writes the lists of the layer's chunk.
void WriteLists(ExternalBuild* build, const Members& members, const BulkLayer& layer, uint64 count) {
    const HnswMetaData& meta = build->jobs.ctx->meta;
    for (uint64 row = layer.first; row < layer.first + count; ++row) {
        const uint64 from = (row - layer.first) * meta.max_edges;
        const uint16 degree = layer.degrees[row];
        const ListHeader header = {members.nodes[row], degree, 0};
        for (uint64 e = 0; e < degree; ++e)
            layer.edges[from + e].id = members.nodes[layer.neighbours[row * meta.max_edges + e]];
        TempFile* file = row < members.own ? &build->lists : &build->backs[PartitionOf(*build, header.node)];
        file->Put(header);
        file->Write(layer.edges + from, degree * sizeof(CodedEdge));
        file->Write(layer.distances + from, degree * sizeof(float));
        file->Write(layer.codes + from * meta.code_size, static_cast<size_t>(degree) * meta.code_size);
    }
}

void BuildPartition(ExternalBuild* build, int p, Progress* progress) {
    const HnswMetaData& meta = build->jobs.ctx->meta;
    Members members;
    ReadMembers(build, p, &members);
    progress->count = members.count;
    if (members.count == 0) return;
    BulkLayer layer;
    memset(static_cast<void*>(&layer), 0, sizeof(layer));
    layer.count = members.count;
    layer.vectors = members.vectors;
    ComputeOptions options = build->jobs.Options();
    options.progress = ReportPartition;
    options.progress_arg = progress;
    const uint32 middle = BulkBuildGraph(build->jobs, &members.arena, &layer, options);
    if (p == 0) build->entry = members.nodes[middle];
    const uint64 chunk = Min(BulkChunkRows(build->jobs), layer.count), room = chunk * meta.max_edges;
    layer.edges = members.arena.Allocate<CodedEdge>(room);
    layer.codes = members.arena.Allocate<char>(room * meta.code_size);
    layer.distances = members.arena.Allocate<float>(room);
    for (layer.first = 0; layer.first < layer.count; layer.first += chunk) {
        const uint64 count = Min(chunk, layer.count - layer.first);
        BulkEncode(build->jobs, &layer, count, build->jobs.Options());
        WriteLists(build, members, layer, count);
    }
    progress->done += members.count;
}

}  // namespace

void ExternalBuildPartitions(ExternalBuild* build) {
    Progress progress = {0, 0, build->node_count()};
    for (int p = 0; p < build->partitions; ++p)
        progress.total += build->guest_count[p];
    HnswBeginPhase(kHnswPhaseGraph, progress.total);
    build->backs = build->arena.Allocate<TempFile>(static_cast<size_t>(build->partitions));
    for (int p = 0; p < build->partitions; ++p)
        build->backs[p].Create();
    build->lists.Create();
    build->nodes.Rewind();
    MemoryContext old = MemoryContextSwitchTo(build->step);
    for (int p = 0; p < build->partitions; ++p) {
        BuildPartition(build, p, &progress);
        MemoryContextReset(build->step);
    }
    MemoryContextSwitchTo(old);
}

// ---- merging -------------------------------------------------------------------------

namespace {

// Codes of fewer dimensions say too little of an angle.
constexpr int kLeastSigns = 48;

struct MergedEdge {
    float distance;
    const CodedEdge* edge;
    const char* code;
};

// The lists that some nodes of a partition have elsewhere, as they stand in the file, and those of each node chained.
struct BackLists {
    uint64 first;  // node
    char* bytes;
    uint32* last;      // of each node: place + 1 in `begins`, 0 for none
    uint32* previous;  // of each list
    uint64* begins;
};

class Merger {
  public:
    Merger(ExternalBuild* build, const BulkLayout& layout)
        : build_(build), layout_(layout), meta_(build->jobs.ctx->meta), arena_(MakeArena(build->step)) {}

    void Run();

  private:
    uint64 ListBytes(uint16 degree) const { return degree * (sizeof(CodedEdge) + sizeof(float) + meta_.code_size); }
    uint64 NodesAtATime(int p) const;
    void ReadBacks(int p, uint64 end, Arena* arena, BackLists* backs);
    void MergeNode(uint64 node, const BackLists& backs);
    void TakeList(const ListHeader& header, const char* list);
    void ReadSigns(const MergedEdge& edge, uint64* signs) const;
    float DistanceBetween(const MergedEdge& a, const uint64* signs_a, const MergedEdge& b, const uint64* signs_b) const;
    void Choose();
    void FillNode(uint64 node, const NodeRecord& record, const char* payload, const SlotView& slot);

    ExternalBuild* build_;
    const BulkLayout& layout_;
    const HnswMetaData& meta_;
    Arena arena_;
    ArenaVec<MergedEdge> edges_;
    MergedEdge* fallen_ = nullptr;
    uint64* signs_ = nullptr;  // of the edges kept so far
    char* list_ = nullptr;     // the node's own
    char* payload_ = nullptr;
    char* image_ = nullptr;  // of a page's slots
    uint64 filled_ = 0;      // of them
    size_t next_upper_ = 0;
};

// Nodes of a partition whose lists elsewhere are held in memory together: all, unless those are long and many.
uint64 Merger::NodesAtATime(int p) const {
    const uint64 own = build_->first_node[p + 1] - build_->first_node[p];
    const uint64 beside = sizeof(uint32) + (kMostHomes - 1) * (sizeof(uint32) + sizeof(uint64));
    const uint64 room = build_->memory_limit / 2;
    if (build_->backs[p].Size() + own * beside <= room) return own;
    return Max<uint64>(room / ((kMostHomes - 1) * (sizeof(ListHeader) + ListBytes(meta_.max_edges)) + beside), 1);
}

// Reads the lists of nodes backs->first .. end - 1.
void Merger::ReadBacks(int p, uint64 end, Arena* arena, BackLists* backs) {
    TempFile* file = &build_->backs[p];
    const uint64 nodes = end - backs->first, most = nodes * (kMostHomes - 1);
    const uint64 room = Min(file->Size(), most * (sizeof(ListHeader) + ListBytes(meta_.max_edges)));
    backs->bytes = arena->Allocate<char>(room);
    backs->last = arena->Allocate<uint32>(nodes);
    backs->previous = arena->Allocate<uint32>(most);
    backs->begins = arena->Allocate<uint64>(most);
    memset(backs->last, 0, nodes * sizeof(uint32));
    file->Rewind();
    uint32 lists = 0;
    uint64 used = 0, done = 0;
    for (uint64 at = 0; at < file->Size(); ++done) {
        if (done % 1024 == 0) CHECK_FOR_INTERRUPTS();
        const ListHeader header = file->Get<ListHeader>();
        at += sizeof(header) + ListBytes(header.degree);
        if (header.node < backs->first || header.node >= end) {
            file->Read(list_, ListBytes(header.degree));
            continue;
        }
        memcpy(backs->bytes + used, &header, sizeof(header));
        file->Read(backs->bytes + used + sizeof(header), ListBytes(header.degree));
        uint32* last = &backs->last[header.node - backs->first];
        backs->previous[lists] = *last;
        backs->begins[lists] = used;
        *last = ++lists;
        used += sizeof(header) + ListBytes(header.degree);
    }
}

// Adds the edges of a list that are not there yet.
void Merger::TakeList(const ListHeader& header, const char* list) {
    const CodedEdge* edges = reinterpret_cast<const CodedEdge*>(list);
    const float* distances = reinterpret_cast<const float*>(edges + header.degree);
    const char* codes = reinterpret_cast<const char*>(distances + header.degree);
    const size_t before = edges_.size;
    for (int e = 0; e < header.degree; ++e) {
        bool known = false;
        for (size_t i = 0; i < before && !known; ++i)
            known = edges_[i].edge->id == edges[e].id;
        if (!known) edges_.Push({distances[e], &edges[e], codes + static_cast<size_t>(e) * meta_.code_size});
    }
}

// The signs of a neighbour's residual: the last plane of its code, in words.
void Merger::ReadSigns(const MergedEdge& edge, uint64* signs) const {
    const CodeShape& shape = build_->jobs.ctx->form.shape;
    const size_t bytes = static_cast<size_t>(shape.words) * sizeof(uint64);
    memcpy(signs, edge.code + static_cast<size_t>(shape.bits - 1) * bytes, bytes);
}

// The squared distance of two neighbours, from their distances to the node and the angle between their residuals, which
// is about the share of the dimensions in which these have other signs.
float Merger::DistanceBetween(const MergedEdge& a, const uint64* signs_a, const MergedEdge& b,
                              const uint64* signs_b) const {
    const CodeShape& shape = build_->jobs.ctx->form.shape;
    int differ = 0;
    for (int w = 0; w < shape.words; ++w)
        differ += std::popcount(signs_a[w] ^ signs_b[w]);
    const float angle = static_cast<float>(M_PI) * static_cast<float>(differ) / static_cast<float>(shape.code_dim);
    return a.distance + b.distance - 2 * std::sqrt(a.distance * b.distance) * std::cos(angle);
}

// Too many edges are pruned like those of a crowded node, by distances as good as codes tell; where codes have few
// dimensions, the nearest stay.
void Merger::Choose() {
    const auto nearer = [](const MergedEdge& a, const MergedEdge& b) {
        return a.distance < b.distance || (a.distance == b.distance && a.edge->id < b.edge->id);
    };
    std::sort(edges_.begin(), edges_.end(), nearer);
    const size_t most = meta_.max_edges;
    if (edges_.size <= most) return;
    const CodeShape& shape = build_->jobs.ctx->form.shape;
    const size_t words = static_cast<size_t>(shape.words);
    size_t kept = 0, fell = 0;
    for (size_t i = 0; i < edges_.size && kept < most && shape.code_dim >= kLeastSigns; ++i) {
        const MergedEdge edge = edges_[i];
        uint64* signs = signs_ + kept * words;
        ReadSigns(edge, signs);
        bool falls = false;
        for (size_t k = 0; k < kept && !falls; ++k)
            falls = DistanceBetween(edges_[k], signs_ + k * words, edge, signs) < edge.distance;
        if (falls)
            fallen_[fell++] = edge;
        else
            edges_[kept++] = edge;
    }
    if (shape.code_dim >= kLeastSigns)
        for (size_t i = 0; i < fell && kept < most; ++i)
            edges_[kept++] = fallen_[i];
    edges_.size = most;
    std::sort(edges_.begin(), edges_.end(), nearer);
}

void Merger::FillNode(uint64 node, const NodeRecord& record, const char* payload, const SlotView& slot) {
    SlotHeaderData* header = slot.header;
    header->state = static_cast<uint8>(SlotState::kLive);
    header->edge_count = static_cast<uint16>(edges_.size);
    header->tid_chain = header->up = header->down = kInvalidId;
    if (next_upper_ < build_->uppers.size && build_->upper_numbers[next_upper_] == node)
        header->up = layout_.IdOfUpper(build_->uppers[next_upper_++].first_upper);
    slot.tids[0].tid = record.row.tid;
    header->tid_count = 1;
    header->hash = record.row.value_hash;
    memcpy(slot.payload, payload, meta_.payload_size);
    for (int i = 0; i < meta_.part_count; ++i)
        slot.parts[i] = layout_.PartOf(node, i);
    const uint16 degree = header->edge_count;
    build_->merged.Put(degree);
    for (size_t e = 0; e < edges_.size; ++e) {
        slot.edges[e] = *edges_[e].edge;
        slot.edges[e].id = layout_.IdOfNode(edges_[e].edge->id);
        slot.edges[e].generation = 0;
        slot.edges[e].held = 0;
        memcpy(slot.codes + e * meta_.code_size, edges_[e].code, meta_.code_size);
        build_->merged.Put(edges_[e].edge->id);
    }
}

// Reads a node and its own list, which are next in their files, merges its lists, and adds it to the page.
void Merger::MergeNode(uint64 node, const BackLists& backs) {
    const NodeRecord record = build_->nodes.Get<NodeRecord>();
    build_->nodes.Read(payload_, build_->payload_size);
    const ListHeader own = build_->lists.Get<ListHeader>();
    build_->lists.Read(list_, ListBytes(own.degree));
    edges_.Clear();
    TakeList(own, list_);
    for (uint32 at = backs.last[node - backs.first]; at != 0; at = backs.previous[at - 1]) {
        const char* bytes = backs.bytes + backs.begins[at - 1];
        ListHeader header;
        memcpy(&header, bytes, sizeof(header));
        TakeList(header, bytes + sizeof(header));
    }
    Choose();
    if (filled_ == 0) memset(image_, 0, static_cast<size_t>(meta_.slots) * meta_.slot_size);
    FillNode(node, record, payload_, SlotOver(meta_, image_ + filled_ * meta_.slot_size));
    if (++filled_ < meta_.slots) return;
    BulkWriteImages(*build_->jobs.ctx, PageKind::kNode, image_, filled_);
    filled_ = 0;
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, static_cast<int64>(node));
}

void Merger::Run() {
    image_ = arena_.Allocate<char>(static_cast<size_t>(meta_.slots) * meta_.slot_size);
    list_ = arena_.Allocate<char>(ListBytes(meta_.max_edges));
    payload_ = arena_.Allocate<char>(build_->payload_size);
    edges_.Init(&arena_, static_cast<size_t>(meta_.max_edges) * kMostHomes);
    fallen_ = arena_.Allocate<MergedEdge>(static_cast<size_t>(meta_.max_edges) * kMostHomes);
    signs_ = arena_.Allocate<uint64>((meta_.max_edges + 1UL) * static_cast<size_t>(build_->jobs.ctx->form.shape.words));
    MemoryContext lists = AllocSetContextCreate(build_->step, "hnsw merge", ALLOCSET_DEFAULT_SIZES);
    build_->nodes.Rewind();
    build_->lists.Rewind();
    for (int p = 0; p < build_->partitions; ++p) {
        const uint64 at_a_time = NodesAtATime(p), partition_end = build_->first_node[p + 1];
        for (uint64 first = build_->first_node[p]; first < partition_end; first += at_a_time) {
            const uint64 end = Min(first + at_a_time, partition_end);
            Arena arena = MakeArena(lists);
            BackLists backs;
            backs.first = first;
            ReadBacks(p, end, &arena, &backs);
            for (uint64 node = first; node < end; ++node)
                MergeNode(node, backs);
            MemoryContextReset(lists);
        }
        build_->backs[p].Close();
    }
    if (filled_ > 0) BulkWriteImages(*build_->jobs.ctx, PageKind::kNode, image_, filled_);
}

}  // namespace

void ExternalMerge(ExternalBuild* build, const BulkLayout& layout) {
    build->merged.Create();
    MemoryContext old = MemoryContextSwitchTo(build->step);
    Merger(build, layout).Run();
    MemoryContextSwitchTo(old);
    build->lists.Close();
    MemoryContextReset(build->step);
}

}  // namespace vecann
