// The access methods with a vector search.
#include "planner/vector_search.h"

namespace vecann {

namespace {

constexpr int kMostMethods = 4;
const VectorSearchMethods* registered[kMostMethods];
int registered_count;

SearchCounts last_counts;

// A price that no other plan has, but still a number: costs are added and compared on the way up.
constexpr double kPricedOut = 1.0e20;

}  // namespace

ScanCost CostOfScan(const IndexPath* path, const SearchCost& search) {
    const IndexOptInfo* index = path->indexinfo;
    ScanCost cost;
    cost.correlation = 0;
    // All of the index, which may be partial: its share of the table's rows.
    const double rows = index->rel->tuples;
    cost.selectivity = rows > 0 ? Min(1.0, index->tuples / rows) : 1.0;
    cost.pages = index->pages;
    cost.startup = search.beam * search.node;
    cost.total = cost.startup + Max(index->tuples, 1.0) * search.node;
    if (path->indexorderbys == NIL) cost.startup = cost.total = kPricedOut;
    return cost;
}

void KeepLastScan(const SearchCounts& counts) {
    last_counts = counts;
}

SearchCounts LastScan() {
    return last_counts;
}

void RegisterVectorSearch(const VectorSearchMethods* methods) {
    Assert(registered_count < kMostMethods);
    registered[registered_count++] = methods;
}

const VectorSearchMethods* FindVectorSearch(amcostestimate_function access_method) {
    for (int i = 0; i < registered_count; ++i)
        if (registered[i]->access_method == access_method) return registered[i];
    return nullptr;
}

}  // namespace vecann
