// The access methods with a vector search.
#include "planner/vector_search.h"

namespace vecann {

namespace {

constexpr int kMostMethods = 4;
const VectorSearchMethods* registered[kMostMethods];
int registered_count;

}  // namespace

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
