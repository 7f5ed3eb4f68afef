// Zone K's memory for as long as a task runs: all of it goes at the end, as with a memory context. Unit tests use it
// too.
#pragma once

#include <deque>
#include <vector>

#include "core/arena.h"

namespace vecann {

struct TaskArena {
    std::deque<std::vector<char>> blocks;
    Arena arena;

    TaskArena() {
        arena.ctx = this;
        arena.allocate = [](void* ctx, size_t bytes) -> void* {
            auto& all = static_cast<TaskArena*>(ctx)->blocks;
            all.emplace_back(bytes + 1);
            return all.back().data();
        };
        arena.release = [](void*, void*) {};
    }
};

}  // namespace vecann
