// Dividing the rows of a build into partitions that fit memory: cells by k-means over a sample, the nearest cells of
// every row, cells that share many rows grouped to partitions. A row goes to its nearest cell's partition, and near a
// border to the next one too.
//
// Equal rows have equal cells, so that they meet in one partition and become one node.
#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_bulk.h"
#include "hnsw/hnsw_external.h"
#include "hnsw/hnsw_insert.h"

namespace vecann {

namespace {

constexpr int kNearCells = 8;       // of a row that are kept
constexpr float kCellReach = 1.4F;  // of which the squared distances are within this factor of the nearest
// Many small cells make partitions with few rows near their borders: 1M rows in 4 partitions of 48 cells had 920,000
// guests.
constexpr uint64 kLeastCells = 16, kMostCells = 1024;
constexpr uint64 kRowsOfCell = 64;   // at least, and so many in the sample
constexpr int kRounds = 5;           // of k-means
constexpr double kFirstShare = 0.7;  // of a partition's places that its own rows get at first
constexpr double kNextShare = 0.85;  // of that, when the guests are too many
constexpr double kLeastShare = 0.3;
constexpr uint64 kMostPartitions = 4096;  // each has three files, one of them open with a buffer at a time

// Where the rows of a cell go.
struct Cell {
    uint64 rows;
    uint32 partition;  // the first
    uint32 split;      // into so many by hash: more rows than a partition holds
};

struct Division {
    ExternalBuild* build;
    Arena arena;  // of the step
    int cells;
    float* centroids;
    Cell* cell;
    uint32* shared;  // cells x cells: rows of one that have the other next
    TempFile near;   // kNearCells cells of each row
    uint64 partitions;
    uint64* members;  // of each partition, guests included
};

uint64 RowRecord(const ExternalBuild& build) {
    return sizeof(RowHead) + build.payload_size;
}

// Rows that are read or computed at a time.
uint64 BlockRows(const ExternalBuild& build) {
    const uint64 row = build.dim * sizeof(float) + build.payload_size + 64;
    return Max<uint64>(build.memory_limit / 8 / row, 64);
}

// Chooses the cells over an even sample of the rows.
void ChooseCells(Division* d) {
    ExternalBuild* build = d->build;
    const uint64 row = build->dim * sizeof(float);
    uint64 cells = Min(Max(build->row_count / kRowsOfCell, kLeastCells), kMostCells);
    cells = Max(Min(cells, build->memory_limit / 8 / (row + kMostCells * sizeof(uint32))), kLeastCells);
    cells = Min(cells, build->row_count);
    const uint64 sample =
        Min(Max(Min(cells * kRowsOfCell, build->memory_limit / 4 / row), 4 * cells), build->row_count);
    float* points = d->arena.Allocate<float>(sample * build->dim);
    char* payload = d->arena.Allocate<char>(build->payload_size);
    for (uint64 i = 0; i < sample; ++i) {
        if (i % 64 == 0) CHECK_FOR_INTERRUPTS();
        build->rows.Seek(i * build->row_count / sample * RowRecord(*build) + sizeof(RowHead));
        build->rows.Read(payload, build->payload_size);
        HnswDecode(build->jobs.ctx->form, payload, points + i * build->dim);
    }
    d->cells = static_cast<int>(cells);
    d->centroids = d->arena.Allocate<float>(cells * build->dim);
    KMeansTask task;
    memset(static_cast<void*>(&task), 0, sizeof(task));
    task.points = points;
    task.count = static_cast<int64>(sample);
    task.dim = static_cast<int32>(build->dim);
    task.clusters = d->cells;
    task.iterations = kRounds;
    task.seed = build->jobs.seed;
    task.centroids = d->centroids;
    RunCompute(ComputeTask::kKMeans, &task, build->jobs.Options());
    d->arena.Release(points, sample * build->dim);
}

void CountCells(Division* d, const uint16* near, uint64 rows) {
    for (uint64 i = 0; i < rows; ++i) {
        const uint16* of = near + i * kNearCells;
        ++d->cell[of[0]].rows;
        if (of[1] == kNoPartition) continue;
        ++d->shared[static_cast<size_t>(of[0]) * static_cast<size_t>(d->cells) + of[1]];
        ++d->shared[static_cast<size_t>(of[1]) * static_cast<size_t>(d->cells) + of[0]];
    }
}

// Writes the cells near each row, and counts.
void FindCells(Division* d) {
    ExternalBuild* build = d->build;
    const uint64 block = BlockRows(*build), record = RowRecord(*build);
    const size_t cells = static_cast<size_t>(d->cells);
    d->cell = d->arena.Allocate<Cell>(cells);
    memset(static_cast<void*>(d->cell), 0, cells * sizeof(Cell));
    d->shared = d->arena.Allocate<uint32>(cells * cells);
    memset(d->shared, 0, cells * cells * sizeof(uint32));
    float* points = d->arena.Allocate<float>(block * build->dim);
    char* row = d->arena.Allocate<char>(record);
    char* payload = d->arena.Allocate<char>(build->payload_size);
    uint16* near = d->arena.Allocate<uint16>(block * kNearCells);
    d->near.Create();
    build->rows.Rewind();
    for (uint64 done = 0; done < build->row_count; done += block) {
        const uint64 rows = Min(block, build->row_count - done);
        for (uint64 i = 0; i < rows; ++i) {
            if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
            build->rows.Read(row, record);
            memcpy(payload, row + sizeof(RowHead), build->payload_size);
            HnswDecode(build->jobs.ctx->form, payload, points + i * build->dim);
        }
        NearCellsTask task;
        memset(static_cast<void*>(&task), 0, sizeof(task));
        task.points = points;
        task.count = static_cast<int64>(rows);
        task.dim = static_cast<int32>(build->dim);
        task.centroids = d->centroids;
        task.clusters = d->cells;
        task.most = kNearCells;
        task.reach = kCellReach;
        task.cells = near;
        RunCompute(ComputeTask::kNearCells, &task, build->jobs.Options());
        // numbers whose squares leave float32 have no nearest cell
        for (uint64 i = 0; i < rows; ++i)
            if (near[i * kNearCells] == kNoPartition) near[i * kNearCells] = 0;
        CountCells(d, near, rows);
        d->near.Write(near, rows * kNearCells * sizeof(uint16));
        pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, static_cast<int64>(done + rows));
    }
    d->arena.Release(points, block * build->dim);
}

// The free cell that shares most rows with a group, for its size; -1 without one that fits into `room`.
int NextCell(const Division& d, const uint64* with_group, const bool* taken, uint64 room) {
    int best = -1;
    double most = -1;
    for (int c = 0; c < d.cells; ++c) {
        if (taken[c] || d.cell[c].rows > room) continue;
        const double score = static_cast<double>(with_group[c]) / static_cast<double>(d.cell[c].rows + 1);
        if (score <= most) continue;
        most = score;
        best = c;
    }
    return best;
}

// Groups the cells to partitions of about `target` rows of their own: each grows from a free cell by that which shares
// most with it.
void GroupCells(Division* d, uint64 target) {
    const size_t cells = static_cast<size_t>(d->cells);
    bool* taken = d->arena.Allocate<bool>(cells);
    uint64* with_group = d->arena.Allocate<uint64>(cells);
    memset(taken, 0, cells * sizeof(bool));
    d->partitions = 0;
    for (int seed = 0; seed < d->cells; ++seed) {
        if (taken[seed]) continue;
        CHECK_FOR_INTERRUPTS();
        memset(with_group, 0, cells * sizeof(uint64));
        uint64 rows = 0;
        for (int next = seed; next >= 0; next = rows < target ? NextCell(*d, with_group, taken, target - rows) : -1) {
            taken[next] = true;
            rows += d->cell[next].rows;
            d->cell[next].partition = static_cast<uint32>(d->partitions);
            d->cell[next].split = 1;
            for (size_t c = 0; c < cells; ++c)
                with_group[c] += d->shared[static_cast<size_t>(next) * cells + c];
        }
        if (rows > target) d->cell[seed].split = static_cast<uint32>((rows + target - 1) / target);
        d->partitions += d->cell[seed].split;
    }
    d->arena.Release(taken, cells);
    d->arena.Release(with_group, cells);
}

// The partitions of a row: its own, then of the near cells those that differ. A cell that is split gives each row a
// second home in another of its partitions, which ties them together.
void HomesOf(const Division& d, const uint16* near, uint32 hash, uint16* homes) {
    int found = 0;
    const auto add = [&](uint32 partition) {
        for (int i = 0; i < found; ++i)
            if (homes[i] == partition) return;
        if (found < kMostHomes) homes[found++] = static_cast<uint16>(partition);
    };
    for (int i = 0; i < kNearCells && near[i] != kNoPartition; ++i) {
        const Cell& cell = d.cell[near[i]];
        add(cell.partition + hash % cell.split);
        if (cell.split > 1 && i == 0) add(cell.partition + (hash / cell.split) % cell.split);
    }
    while (found < kMostHomes)
        homes[found++] = kNoPartition;
}

// Reads the rows once more with their homes. `take(row, homes)`.
template <class Take>
void ForRows(Division* d, bool with_payload, Take take) {
    ExternalBuild* build = d->build;
    const uint64 record = RowRecord(*build);
    char* row = d->arena.Allocate<char>(record);
    build->rows.Rewind();
    d->near.Rewind();
    for (uint64 i = 0; i < build->row_count; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        uint16 near[kNearCells], homes[kMostHomes];
        d->near.Read(near, sizeof(near));
        PayloadHeadData head;
        memset(&head, 0, sizeof(head));
        if (with_payload) {
            build->rows.Read(row, record);
            memcpy(&head, row + sizeof(RowHead), sizeof(head));
        } else if (d->cell[near[0]].split > 1) {
            head.hash = static_cast<uint32>(i);  // as good as another for counting
        }
        HomesOf(*d, near, head.hash, homes);
        take(row, homes);
    }
    d->arena.Release(row, record);
}

uint64 LargestPartition(Division* d) {
    d->members = d->arena.Allocate<uint64>(d->partitions);
    memset(d->members, 0, d->partitions * sizeof(uint64));
    ForRows(d, false, [&](const char*, const uint16* homes) {
        for (int i = 0; i < kMostHomes && homes[i] != kNoPartition; ++i)
            ++d->members[homes[i]];
    });
    uint64 largest = 0;
    for (uint64 p = 0; p < d->partitions; ++p)
        largest = Max(largest, d->members[p]);
    return largest;
}

// Nodes of a partition beside what is there once: the files' buffers, and the nodes in upper layers. At the least
// memory these come on top, since smaller partitions would have more files.
uint64 CapacityOf(const ExternalBuild& build, uint64 partitions) {
    const uint64 uppers = 2 * build.row_count / (kLayerRatio - 1) * (sizeof(BulkNode) + sizeof(uint32));
    const uint64 beside = partitions * kPartitionBytes + uppers;
    return ExternalCapacity(build.jobs, build.memory_limit - Min(beside, build.memory_limit - kLeastBulkBytes));
}

// Partitions as large as fit with their guests. Where rows have so many near partitions that even small ones would not,
// some of their guests stay away.
void ChoosePartitions(Division* d) {
    ExternalBuild* build = d->build;
    build->capacity = CapacityOf(*build, 0);
    for (double share = kFirstShare;; share *= kNextShare) {
        const uint64 most = Max<uint64>(static_cast<uint64>(share * static_cast<double>(build->capacity)), 1);
        const uint64 wanted = (build->row_count + most - 1) / most;
        GroupCells(d, (build->row_count + wanted - 1) / wanted);
        if (d->partitions > kMostPartitions)
            ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                            errmsg("maintenance_work_mem is too low to build index \"%s\"",
                                   RelationGetRelationName(build->jobs.ctx->index))));
        build->capacity = CapacityOf(*build, d->partitions);
        if (LargestPartition(d) <= build->capacity || share < kLeastShare) return;
    }
}

}  // namespace

void ExternalDivide(ExternalBuild* build) {
    MemoryContext old = MemoryContextSwitchTo(build->step);
    Division d;
    memset(static_cast<void*>(&d), 0, sizeof(d));
    d.build = build;
    d.arena = MakeArena(build->step);
    HnswBeginPhase(kHnswPhaseDivide, build->row_count);
    ChooseCells(&d);
    FindCells(&d);
    ChoosePartitions(&d);
    build->partitions = static_cast<int>(d.partitions);
    MemoryContextSwitchTo(build->memory);
    build->part_rows = build->arena.Allocate<TempFile>(d.partitions);
    build->part_count = build->arena.Allocate<uint64>(d.partitions);
    build->guest_wish = build->arena.Allocate<uint64>(d.partitions);
    build->guest_seen = build->arena.Allocate<uint64>(d.partitions);
    memset(build->part_count, 0, d.partitions * sizeof(uint64));
    memset(build->guest_seen, 0, d.partitions * sizeof(uint64));
    memcpy(build->guest_wish, d.members, d.partitions * sizeof(uint64));
    for (uint64 p = 0; p < d.partitions; ++p)
        build->part_rows[p].Create();
    MemoryContextSwitchTo(build->step);
    ForRows(&d, true, [&](const char* row, const uint16* homes) {
        TempFile* file = &build->part_rows[homes[0]];
        NodeRecord record;
        memcpy(static_cast<void*>(&record.row), row, sizeof(record.row));
        memcpy(record.homes, homes, sizeof(record.homes));
        ++build->part_count[homes[0]];
        file->Put(record);
        file->Write(row + sizeof(RowHead), build->payload_size);
    });
    // equal rows of a cell that is split all go to one of its partitions, more than were counted for it
    for (uint64 p = 0; p < d.partitions; ++p)
        build->guest_wish[p] -= Min(build->guest_wish[p], build->part_count[p]);
    d.near.Close();
    build->rows.Close();
    MemoryContextSwitchTo(old);
    MemoryContextReset(build->step);
}

}  // namespace vecann
