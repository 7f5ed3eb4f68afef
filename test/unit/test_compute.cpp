// Unit tests of the compute library: k-means, progress, cancellation, bad arguments, exceptions, lack of memory and of
// threads, the version check. No server.
#include <gtest/gtest.h>

#include <dirent.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "compute/tasks.h"
#include "core/rng.h"

extern "C" const vecann::ComputeApi* vecann_compute_api(uint32_t version, vecann::Status* status) noexcept;

namespace vecann {
namespace {

const ComputeApi* Api() {
    Status status;
    return vecann_compute_api(kComputeAbiVersion, &status);
}

void RunToEnd(ComputeJob* job, ComputeTask task, void* argument) {
    Status status;
    void* handle = Api()->start(job, task, argument, &status);
    ASSERT_NE(handle, nullptr) << status.message;
    Api()->join(handle);
    EXPECT_EQ(job->finished.load(), 1);
}

std::vector<float> Blobs(int count, int dim, int clusters) {
    std::vector<float> points(static_cast<size_t>(count) * dim);
    Rng rng(3);
    for (int i = 0; i < count; ++i)
        for (int j = 0; j < dim; ++j)
            points[static_cast<size_t>(i) * dim + j] =
                static_cast<float>(10 * (i % clusters) * (j % 2 + 1) + rng.NextUnit());
    return points;
}

TEST(ComputeTest, RefusesAnotherVersion) {
    Status status;
    EXPECT_EQ(vecann_compute_api(kComputeAbiVersion + 1, &status), nullptr);
    EXPECT_EQ(status.code, StatusCode::kUnavailable);
    EXPECT_NE(strlen(status.message), 0u);
}

// The task's result, with the threads and the memory it may have.
Status RunKMeansJob(KMeansTask* task, int threads = 1, uint64_t memory_limit = 0) {
    ComputeJob job;
    job.threads = threads;
    job.memory_limit = memory_limit;
    RunToEnd(&job, ComputeTask::kKMeans, task);
    return job.status;
}

// Seconds from setting `cancel`, `delay` after the start, to the end of the job.
double CancelLatency(KMeansTask* task, std::chrono::milliseconds delay) {
    ComputeJob job;
    job.threads = 2;
    Status status;
    void* handle = Api()->start(&job, ComputeTask::kKMeans, task, &status);
    EXPECT_NE(handle, nullptr);
    std::this_thread::sleep_for(delay);
    const auto start = std::chrono::steady_clock::now();
    job.cancel.store(1);
    Api()->join(handle);
    // A fast machine may be through by then.
    if (delay.count() == 0 || !job.status.ok()) {
        EXPECT_EQ(job.status.code, StatusCode::kCancelled) << job.status.message;
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double SquaredDistance(const float* a, const float* b, int dim) {
    double sum = 0;
    for (int j = 0; j < dim; ++j)
        sum += (double{a[j]} - b[j]) * (double{a[j]} - b[j]);
    return sum;
}

double Objective(const std::vector<float>& points, const std::vector<float>& centroids, int dim) {
    double sum = 0;
    for (size_t i = 0; i < points.size(); i += dim) {
        double best = HUGE_VAL;
        for (size_t c = 0; c < centroids.size(); c += dim)
            best = std::min(best, SquaredDistance(&points[i], &centroids[c], dim));
        sum += best;
    }
    return sum;
}

int ThreadCount() {
    int n = 0;
    DIR* tasks = opendir("/proc/self/task");
    while (const dirent* entry = readdir(tasks))
        if (entry->d_name[0] != '.') ++n;
    closedir(tasks);
    return n;
}

TEST(ComputeTest, KMeansFindsTheBlobs) {
    constexpr int kCount = 2000, kDim = 6, kClusters = 2;
    const std::vector<float> points = Blobs(kCount, kDim, kClusters);
    std::vector<float> centroids(kDim * kClusters);
    KMeansTask task = {points.data(), kCount, kDim, kClusters, 8, 1, 0, centroids.data(), -1};
    ComputeJob job;
    job.threads = 2;
    RunToEnd(&job, ComputeTask::kKMeans, &task);
    ASSERT_TRUE(job.status.ok()) << job.status.message;
    EXPECT_NEAR(std::fabs(centroids[0] - centroids[kDim]), 10, 0.5);
    EXPECT_LT(task.objective, kCount * kDim / 10.0);
    EXPECT_NEAR(task.objective, Objective(points, centroids, kDim), task.objective / 100);
    EXPECT_EQ(job.total.load(), 8 * kCount);
    EXPECT_EQ(job.done.load(), 8 * kCount);
}

TEST(ComputeTest, KMeansDoesNotDependOnThreads) {
    constexpr int kCount = 5000, kDim = 20, kClusters = 50;
    std::vector<float> points(kCount * kDim);
    Rng rng(9);
    for (float& x : points)
        x = static_cast<float>(rng.NextUnit());
    std::vector<float> one(kClusters * kDim), three(one), other_seed(one);
    KMeansTask first = {points.data(), kCount, kDim, kClusters, 10, 7, 0, one.data(), 0};
    KMeansTask second = {points.data(), kCount, kDim, kClusters, 10, 7, 0, three.data(), 0};
    KMeansTask third = {points.data(), kCount, kDim, kClusters, 10, 8, 0, other_seed.data(), 0};
    EXPECT_TRUE(RunKMeansJob(&first, 1).ok());
    EXPECT_TRUE(RunKMeansJob(&second, 3).ok());
    EXPECT_TRUE(RunKMeansJob(&third, 3).ok());
    EXPECT_EQ(one, three);
    EXPECT_EQ(first.objective, second.objective);
    EXPECT_NE(one, other_seed);
    EXPECT_NEAR(first.objective, third.objective, first.objective / 20) << "seeds differ little";
}

TEST(ComputeTest, KMeansOverASampleComesNearTheWhole) {
    constexpr int kCount = 20000, kDim = 8, kClusters = 10;
    const std::vector<float> points = Blobs(kCount, kDim, kClusters);
    std::vector<float> whole(kClusters * kDim), sampled(whole);
    KMeansTask full = {points.data(), kCount, kDim, kClusters, 10, 7, 0, whole.data(), 0};
    KMeansTask part = {points.data(), kCount, kDim, kClusters, 10, 7, 1000, sampled.data(), 0};
    ASSERT_TRUE(RunKMeansJob(&full).ok());
    ComputeJob job;
    RunToEnd(&job, ComputeTask::kKMeans, &part);
    ASSERT_TRUE(job.status.ok()) << job.status.message;
    EXPECT_EQ(job.total.load(), 10 * 1000);
    EXPECT_LT(Objective(points, sampled, kDim), 4 * Objective(points, whole, kDim));
    // A sample smaller than the number of clusters becomes that number, one greater than the points all of them.
    part.sample = 1;
    EXPECT_TRUE(RunKMeansJob(&part).ok());
    part.sample = kCount * 2;
    EXPECT_TRUE(RunKMeansJob(&part).ok());
    EXPECT_EQ(sampled, whole);
}

// Squares of the values leave the range of float; the clusters must be those of values that do not.
TEST(ComputeTest, KMeansOfHugeAndTinyValues) {
    constexpr int kCount = 1000, kDim = 4, kClusters = 5;
    const std::vector<float> points = Blobs(kCount, kDim, kClusters);
    std::vector<float> plain(kClusters * kDim);
    KMeansTask reference = {points.data(), kCount, kDim, kClusters, 10, 7, 0, plain.data(), 0};
    ASSERT_TRUE(RunKMeansJob(&reference).ok());
    for (const int exponent : {100, -100}) {
        std::vector<float> scaled(points), centroids(plain.size());
        for (float& x : scaled)
            x = std::ldexp(x, exponent);
        KMeansTask task = {scaled.data(), kCount, kDim, kClusters, 10, 7, 0, centroids.data(), 0};
        ASSERT_TRUE(RunKMeansJob(&task).ok());
        for (size_t i = 0; i < centroids.size(); ++i)
            EXPECT_NEAR(std::ldexp(centroids[i], -exponent), plain[i], 1e-3 * std::fabs(plain[i]));
        EXPECT_NEAR(std::ldexp(task.objective, -2 * exponent), reference.objective, 1e-2 * reference.objective);
    }
}

TEST(ComputeTest, KMeansOfFewDifferentPoints) {
    for (const int different : {1, 3}) {
        constexpr int kCount = 200, kDim = 2, kClusters = 20;
        std::vector<float> points(kCount * kDim), centroids(kClusters * kDim, -1);
        for (int i = 0; i < kCount * kDim; ++i)
            points[i] = static_cast<float>(i / kDim % different);
        KMeansTask task = {points.data(), kCount, kDim, kClusters, 10, 7, 0, centroids.data(), 0};
        ASSERT_TRUE(RunKMeansJob(&task, 2).ok());
        EXPECT_EQ(Objective(points, centroids, kDim), 0);
        // each is the mean of points
        for (const float x : centroids)
            EXPECT_TRUE(x >= 0 && x <= static_cast<float>(different - 1)) << x;
    }
}

TEST(ComputeTest, KMeansWithAClusterForEachPoint) {
    std::vector<float> points = {5, 1, 3, 2, 4}, centroids(5);
    KMeansTask task = {points.data(), 5, 1, 5, 3, 1, 0, centroids.data(), -1};
    ASSERT_TRUE(RunKMeansJob(&task).ok());
    std::sort(centroids.begin(), centroids.end());
    EXPECT_EQ(centroids, (std::vector<float>{1, 2, 3, 4, 5}));
    EXPECT_EQ(task.objective, 0);
    KMeansTask one = {points.data(), 5, 1, 1, 3, 1, 0, centroids.data(), -1};
    ASSERT_TRUE(RunKMeansJob(&one).ok());
    EXPECT_EQ(centroids[0], 3);
}

TEST(ComputeTest, BadArgumentsAreRefused) {
    float point[4] = {}, centroid[8] = {};
    for (const KMeansTask& bad :
         {KMeansTask{point, 1, 4, 2, 5, 1, 0, centroid, 0}, KMeansTask{point, 1, 0, 1, 5, 1, 0, centroid, 0},
          KMeansTask{point, 1, 4, 0, 5, 1, 0, centroid, 0}, KMeansTask{point, 1, 4, 1, 0, 1, 0, centroid, 0},
          KMeansTask{point, 1, 4, 1, 5, 1, -1, centroid, 0},
          KMeansTask{point, int64_t{1} << 31, 1, 1, 5, 1, 0, centroid, 0}}) {
        KMeansTask task = bad;
        EXPECT_EQ(RunKMeansJob(&task).code, StatusCode::kInvalidArgument);
    }
    for (const float bad : {HUGE_VALF, -HUGE_VALF, std::nanf("")}) {
        point[3] = bad;
        KMeansTask task = {point, 1, 4, 1, 5, 1, 0, centroid, 0};
        EXPECT_EQ(RunKMeansJob(&task).code, StatusCode::kInvalidArgument);
    }
    ComputeJob job;
    RunToEnd(&job, static_cast<ComputeTask>(77), nullptr);
    EXPECT_EQ(job.status.code, StatusCode::kInvalidArgument);
}

// What the threads encode is what an insert would.
TEST(PayloadEncodeTest, SameBytesAsOneByOne) {
    constexpr int kDim = 100, kCount = 1000;
    Rotation rotation;
    Arena arena = {};
    arena.allocate = [](void*, size_t bytes) { return malloc(bytes); };
    rotation.Init(&arena, kDim);
    Rng rng(3);
    std::vector<float> values;
    std::vector<uint32_t> hashes;
    for (int i = 0; i < kCount; ++i) {
        hashes.push_back(static_cast<uint32_t>(rng.Next()));
        const float unit = i % 2 == 0 ? 1.0f : 0.37f;  // every other one is of whole numbers
        for (int j = 0; j < kDim; ++j)
            values.push_back(unit * static_cast<float>(rng.Next() % 200));
    }
    std::vector<float> vector(kDim), scratch(2 * kDim);
    for (const PayloadKind kind : {PayloadKind::kFloat32, PayloadKind::kFloat16, PayloadKind::kSq8})
        for (const bool may_be_exact : {false, true})
            for (const int threads : {1, 3}) {
                const PayloadRule rule = {kDim, kind, may_be_exact, &rotation};
                std::vector<float> vectors = values;
                std::vector<char> payloads(rule.size() * kCount), payload(rule.size());
                PayloadEncodeTask task = {rule, vectors.data(), kCount, hashes.data(), payloads.data()};
                ComputeJob job;
                job.threads = threads;
                RunToEnd(&job, ComputeTask::kPayloadEncode, &task);
                ASSERT_TRUE(job.status.ok());
                EXPECT_EQ(job.done.load(), kCount);
                int exact = 0;
                for (size_t i = 0; i < kCount; ++i) {
                    RotateValue(rule, &values[i * kDim], vector.data(), scratch.data());
                    EncodeValue(rule, hashes[i], &values[i * kDim], vector.data(), NormOf(vector.data(), kDim),
                                payload.data());
                    ASSERT_EQ(memcmp(payload.data(), &payloads[i * rule.size()], rule.size()), 0) << i;
                    exact += IsExactPayload(payload.data()) ? 1 : 0;
                    DecodeValue(rule, payload.data(), vector.data(), scratch.data());
                    ASSERT_EQ(memcmp(vector.data(), &vectors[i * kDim], kDim * sizeof(float)), 0) << i;
                }
                if (may_be_exact)
                    EXPECT_GE(exact, kCount / 2);
                else
                    EXPECT_EQ(exact, 0);
            }
    free(rotation.signs);
    free(rotation.sources);
    PayloadEncodeTask bad = {{0, PayloadKind::kSq8, false, nullptr}, nullptr, 1, nullptr, nullptr};
    ComputeJob job;
    RunToEnd(&job, ComputeTask::kPayloadEncode, &bad);
    EXPECT_EQ(job.status.code, StatusCode::kInvalidArgument);
}

TEST(ComputeTest, CancelEndsKMeansWithinASecond) {
    constexpr int kCount = 100000, kDim = 8, kClusters = 32000;
    // all points equal: all clusters but one are empty at first
    const std::vector<float> equal(kCount * kDim, 1.0f);
    const std::vector<float> different = Blobs(kCount, kDim, 1000);
    std::vector<float> centroids(kDim * kClusters);
    for (const std::vector<float>* points : {&equal, &different}) {
        KMeansTask task = {points->data(), kCount, kDim, kClusters, 100000, 1, 0, centroids.data(), 0};
        for (const int delay : {0, 100, 700}) {
            // the best of three: the machine may have other work
            double best = HUGE_VAL;
            for (int i = 0; i < 3 && best >= 1; ++i)
                best = std::min(best, CancelLatency(&task, std::chrono::milliseconds(delay)));
            EXPECT_LT(best, 1.0);
        }
    }
}

TEST(ComputeTest, MemoryLimitIsKept) {
    constexpr int kCount = 20000, kDim = 64, kClusters = 200;
    const std::vector<float> points = Blobs(kCount, kDim, kClusters);
    std::vector<float> centroids(kDim * kClusters);
    KMeansTask task = {points.data(), kCount, kDim, kClusters, 2, 1, 0, centroids.data(), 0};
    const Status refused = RunKMeansJob(&task, 1, 1 << 19);
    EXPECT_EQ(refused.code, StatusCode::kOutOfMemory);
    EXPECT_NE(strstr(refused.message, "may use 0 MB"), nullptr) << refused.message;
    EXPECT_TRUE(RunKMeansJob(&task, 1, 4 << 20).ok());
    task.sample = kCount - 1;  // has to be copied
    EXPECT_EQ(RunKMeansJob(&task, 1, 4 << 20).code, StatusCode::kOutOfMemory);
    EXPECT_TRUE(RunKMeansJob(&task, 1, 16 << 20).ok());
}

TEST(ComputeTest, SelfTestPasses) {
    SelfTestTask task = {};
    ComputeJob job;
    job.threads = 2;
    RunToEnd(&job, ComputeTask::kSelfTest, &task);
    EXPECT_TRUE(job.status.ok()) << job.status.message;
    EXPECT_EQ(task.threads, 2);
    EXPECT_NE(strlen(task.faiss_version), 0u);
}

TEST(ComputeTest, NoThreadStaysBehind) {
#ifdef VECANN_TSAN
    GTEST_SKIP();  // that is LLVM's OpenMP, which keeps one
#endif
    // The threads of earlier tests may still be on their way out: wait until the count rests.
    int before = ThreadCount();
    for (int same = 0, i = 0; same < 10 && i < 500; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        const int now = ThreadCount();
        same = now == before ? same + 1 : 0;
        before = now;
    }
    SelfTestTask task = {};
    ComputeJob job;
    job.threads = 4;
    RunToEnd(&job, ComputeTask::kSelfTest, &task);
    EXPECT_EQ(task.threads, 4);
    // The team's threads have been told to exit, but need not have got there.
    for (int i = 0; i < 500 && ThreadCount() > before; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_LE(ThreadCount(), before);
}

TEST(ComputeTest, LoopsCoverEachElementOnce) {
    ComputeJob job;
    for (const int64_t count : {0, 1, 9, 10, 11, 1000}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
        ForSlices(&job, count, 10, [&](int64_t begin, int64_t end) {
            ASSERT_LE(end - begin, 10);
            for (int64_t i = begin; i < end; ++i)
                ++seen[static_cast<size_t>(i)];
        });
        for (const auto& n : seen)
            EXPECT_EQ(n.load(), 1);
    }
}

TEST(ComputeTest, ExceptionsLeaveALoopBehindItsRegion) {
    ComputeJob job;
    std::atomic<int> calls{0};
    const auto loop = [&](auto exception) {
        calls = 0;
        ForSlices(&job, 1000, 1, [&](int64_t begin, int64_t) {
            ++calls;
            if (begin >= 3) throw exception;
        });
    };
    EXPECT_THROW(loop(std::bad_alloc()), std::bad_alloc);
    EXPECT_THROW(loop(std::runtime_error("injected")), std::runtime_error);
    EXPECT_THROW(loop(42), int);
    EXPECT_LT(calls.load(), 1000) << "the others are told";
    job.cancel.store(1);
    EXPECT_THROW(loop(42), Cancelled);
    EXPECT_EQ(calls.load(), 0);
}

#ifdef VECANN_RACE_POINTS
TEST(ComputeTest, InjectedExceptionsBecomeStatus) {
    for (const bool in_region : {false, true}) {
        for (const auto& [injected, code] :
             {std::pair{Injected::kNothing, StatusCode::kOk}, std::pair{Injected::kBadAlloc, StatusCode::kOutOfMemory},
              std::pair{Injected::kStdException, StatusCode::kInternal},
              std::pair{Injected::kUnknown, StatusCode::kInternal}}) {
            SpinTask task = {0, injected, in_region};
            ComputeJob job;
            job.threads = 3;
            RunToEnd(&job, ComputeTask::kSpin, &task);
            EXPECT_EQ(job.status.code, code);
            EXPECT_EQ(job.status.message[0] == 0, code == StatusCode::kOk);
        }
    }
}
#endif

TEST(ComputeTest, MemoryReserveHelpsOnce) {
    const std::new_handler before = std::get_new_handler();
    {
        MemoryReserve reserve;
        EXPECT_NO_THROW(CheckMemoryReserve());
        std::get_new_handler()();
        EXPECT_THROW(CheckMemoryReserve(), std::bad_alloc);
        EXPECT_THROW(std::get_new_handler()(), std::bad_alloc);
    }
    EXPECT_EQ(std::get_new_handler(), before);
    EXPECT_NO_THROW(CheckMemoryReserve());
}

// What follows limits the process, so it runs in one of its own. Sanitizers need memory without end.
#if defined(__SANITIZE_ADDRESS__) || defined(VECANN_TSAN)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

size_t AddressSpace() {
    std::ifstream statm("/proc/self/statm");
    size_t pages = 0;
    statm >> pages;
    return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// Not a test of its own: the process of KMeansWithin.
TEST(ComputeTest, DISABLED_LimitedProcess) {
    constexpr int kCount = 4000, kDim = 32, kClusters = 200;
    const std::vector<float> points = Blobs(kCount, kDim, kClusters);
    std::vector<float> centroids(kDim * kClusters);
    KMeansTask task = {points.data(), kCount, kDim, kClusters, 2, 1, kCount - 1, centroids.data(), 0};
    const rlimit limit = {AddressSpace() + strtoull(getenv("VECANN_TEST_BYTES"), nullptr, 10), RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &limit);
    ComputeJob job;
    job.threads = 3;
    Status status;
    void* handle = Api()->start(&job, ComputeTask::kKMeans, &task, &status);
    if (handle == nullptr) _exit(static_cast<int>(status.code));
    Api()->join(handle);
    _exit(static_cast<int>(job.status.code));
}

// The status of a k-means in a new process that may map no more than `more` bytes beyond the start; -1 if it died.
int KMeansWithin(size_t more) {
    const pid_t child = fork();
    if (child == 0) {
        setenv("VECANN_TEST_BYTES", std::to_string(more).c_str(), 1);
        setenv("OPENBLAS_NUM_THREADS", "1", 1);
        execl("/proc/self/exe", "test_compute", "--gtest_filter=ComputeTest.DISABLED_LimitedProcess",
              "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
        _exit(99);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ComputeTest, LackOfMemoryIsAStatus) {
    if (kSanitized) GTEST_SKIP();
    int succeeded = 0, refused = 0;
    for (size_t megabytes = 0; megabytes <= 1024; megabytes += megabytes < 64 ? 2 : 24) {
        const int code = KMeansWithin(megabytes << 20);
        EXPECT_TRUE(code == 0 || code == static_cast<int>(StatusCode::kOutOfMemory))
            << "status " << code << " with " << megabytes << " MB";
        ++(code == 0 ? succeeded : refused);
    }
    EXPECT_GT(refused, 0);
    EXPECT_GT(succeeded, 0);
}

// In a process whose user may start no thread at all: 0 when the library says so, else what went wrong.
int WithoutThreads() {
    if (geteuid() == 0 && setuid(65534) != 0) return 10;
    const rlimit none = {0, 0};
    if (setrlimit(RLIMIT_NPROC, &none) != 0) return 11;
    if (StartableThreads(4) != 1) return 12;
    ComputeJob job;
    SelfTestTask task = {};
    Status status;
    if (Api()->start(&job, ComputeTask::kSelfTest, &task, &status) != nullptr) return 13;
    return status.code == StatusCode::kOutOfMemory ? 0 : 14;
}

TEST(ComputeTest, LackOfThreadsIsAStatus) {
    if (kSanitized) GTEST_SKIP();
    EXPECT_EQ(StartableThreads(4), 4);
    EXPECT_EQ(StartableThreads(1), 1);
    const pid_t child = fork();
    if (child == 0) _exit(WithoutThreads());
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace vecann
