// Replays the corpus of the fuzz targets (test/fuzz): files in accepted/ are values, files in refused/ are errors, and
// none makes the input functions read or write where they must not. Random damage to them is tried as well, from a
// fixed seed.
#include <dirent.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "../fuzz/fuzz_targets.h"

namespace vecann {

namespace {

using Bytes = std::vector<uint8_t>;

struct Target {
    FuzzTarget id;
    const char* folder;
};
const Target kTargets[] = {
    {FuzzTarget::kVectorText, "vector-text"},       {FuzzTarget::kVectorBinary, "vector-binary"},
    {FuzzTarget::kHalfvecText, "halfvec-text"},     {FuzzTarget::kHalfvecBinary, "halfvec-binary"},
    {FuzzTarget::kSparsevecText, "sparsevec-text"}, {FuzzTarget::kSparsevecBinary, "sparsevec-binary"},
};

// The files of a folder, in order of their names.
std::vector<std::pair<std::string, Bytes>> Files(const std::string& folder) {
    std::vector<std::pair<std::string, Bytes>> files;
    DIR* dir = opendir(folder.c_str());
    if (dir == nullptr) return files;
    while (const dirent* entry = readdir(dir)) {
        if (entry->d_name[0] == '.') continue;
        std::ifstream in(folder + "/" + entry->d_name, std::ios::binary);
        files.emplace_back(entry->d_name, Bytes(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()));
    }
    closedir(dir);
    std::sort(files.begin(), files.end());
    return files;
}

void Damage(std::mt19937* random, Bytes* bytes) {
    for (uint32_t n = 1 + (*random)() % 3; n > 0; --n) {
        const size_t at = (*random)() % (bytes->size() + 1);
        const auto place = bytes->begin() + static_cast<ptrdiff_t>(at);
        const uint8_t byte = static_cast<uint8_t>((*random)());
        switch ((*random)() % 4) {
            case 0:
                if (at < bytes->size()) (*bytes)[at] = byte;
                break;
            case 1:
                bytes->insert(place, byte);
                break;
            case 2:
                if (at < bytes->size()) bytes->erase(place);
                break;
            default:
                bytes->resize(at);
        }
    }
}

class ServerInput : public ::testing::TestWithParam<Target> {
  protected:
    std::vector<std::pair<std::string, Bytes>> Corpus(const char* kind) {
        return Files(std::string("../fuzz/corpus/") + GetParam().folder + "/" + kind);
    }
};

TEST_P(ServerInput, Corpus) {
    for (const bool accepted : {true, false}) {
        const auto files = Corpus(accepted ? "accepted" : "refused");
        EXPECT_GE(files.size(), 3u);
        for (const auto& [name, bytes] : files)
            EXPECT_EQ(FuzzInput(GetParam().id, bytes.data(), bytes.size()), accepted)
                << GetParam().folder << "/" << name;
    }
}

TEST_P(ServerInput, Damaged) {
    std::mt19937 random(7);
    auto files = Corpus("accepted");
    for (auto& file : Corpus("refused"))
        files.push_back(file);
    ASSERT_FALSE(files.empty());
    int taken = 0;
    for (int n = 0; n < 20000; ++n) {
        Bytes bytes = files[random() % files.size()].second;
        Damage(&random, &bytes);
        taken += FuzzInput(GetParam().id, bytes.data(), bytes.size());
    }
    EXPECT_GT(taken, 0);
}

INSTANTIATE_TEST_SUITE_P(Types, ServerInput, ::testing::ValuesIn(kTargets));

}  // namespace
}  // namespace vecann
